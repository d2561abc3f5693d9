import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, get, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { waitFor } from '../../../test/support/wait-for.ts';
import { HeldClock } from '../held-clock.ts';
import { createLog } from '../log.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import { openCertificateAuthority } from './certificate-authority.ts';
import { type Certificates, type CertificatesParts, createCertificates } from './certificates.ts';

const root = mkdtempSync(join(tmpdir(), 'berth-tls-'));
after(() => rmSync(root, { recursive: true }));
const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const isOurName = (name: string) => name.endsWith('.berth.localhost');

function newFolder(): string {
  return mkdtempSync(join(root, 'data-'));
}

async function withServer(
  parts: Partial<CertificatesParts>,
  work: (port: number, certificates: Certificates) => Promise<void>,
) {
  const base = { folder: newFolder(), own: [], isOurName, clock: systemClock, ids: systemIds, log };
  const certificates = await createCertificates({ ...base, ...parts });
  const server = createServer({ SNICallback: certificates.sniCallback }, (_, response) => response.end('ok'));
  await certificates.serve(server);
  try {
    await work(await listen(server), certificates);
  } finally {
    certificates.close();
    server.closeAllConnections();
    server.close();
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

/** Asks `host` of a server on loopback, trusting one authority alone; gives the certificate that the server showed. */
function certificateFor(port: number, host: string, ca: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const lookup = (
      _: string,
      __: unknown,
      done: (error: null, addresses: { address: string; family: number }[]) => void,
    ) => done(null, [{ address: '127.0.0.1', family: 4 }]);
    const request = get({ host, port, ca, lookup, agent: false, path: '/' }, (response) => {
      const socket = response.socket;
      const certificate = isTls(socket) ? socket.getPeerX509Certificate() : undefined;
      response.resume();
      if (certificate === undefined) reject(new Error('no certificate'));
      else resolve(certificate);
    });
    request.on('error', reject);
  });
}

function isTls(socket: object): socket is TLSSocket {
  return 'getPeerX509Certificate' in socket;
}

test('each of our names, localhost and 127.0.0.1 get a certificate that a client trusts through the one authority', () =>
  withServer({}, async (port, { caPem }) => {
    for (const host of ['local.berth.localhost', 'MyReg.Berth.localhost', 'localhost', '127.0.0.1']) {
      const certificate = await certificateFor(port, host, caPem);
      const isForHost = host === '127.0.0.1' ? certificate.checkIP(host) : certificate.checkHost(host);
      assert.ok(isForHost, host);
    }
    const first = await certificateFor(port, 'a.berth.localhost', caPem);
    const second = await certificateFor(port, 'a.berth.localhost', caPem);
    assert.equal(first.serialNumber, second.serialNumber);
  }));

test('a name that is not ours gets no certificate of its own', () =>
  withServer({}, async (port, { caPem }) => {
    await assert.rejects(certificateFor(port, 'example.com', caPem), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  }));

test('openssl verifies the chain, the name and the purpose', () =>
  withServer({}, async (_, certificates) => {
    const folder = newFolder();
    const leaf = await (await openCertificateAuthority({ folder, clock: systemClock, ids: systemIds })).issue({
      dns: ['x.berth.localhost'],
      ip: ['::1'],
    });
    const leafPath = join(folder, 'leaf.pem');
    writeFileSync(leafPath, leaf.certPem);
    for (const name of [
      ['-verify_hostname', 'x.berth.localhost'],
      ['-verify_ip', '::1'],
    ]) {
      const options = [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        ...name,
        '-CAfile',
        join(folder, 'ca.pem'),
        leafPath,
      ];
      assert.match(execFileSync('openssl', options, { encoding: 'utf8' }), /leaf\.pem: OK/);
    }
    assert.notEqual(spawnSync('openssl', ['verify', '-CAfile', certificates.caPath, leafPath]).status, 0);
  }));

test('the authority is made once; its key is readable by its owner alone', async () => {
  const folder = newFolder();
  const parts = { folder, clock: systemClock, ids: systemIds };
  const first = await openCertificateAuthority(parts);
  assert.equal((await openCertificateAuthority(parts)).certPem, first.certPem);
  assert.equal(statSync(join(folder, 'ca-key.pem')).mode & 0o777, 0o600);
  assert.equal(readFileSync(first.path, 'utf8'), first.certPem);
  assert.equal(first.certPem.includes('PRIVATE'), false);
  rmSync(first.path);
  assert.notEqual((await openCertificateAuthority(parts)).certPem, first.certPem);
});

test('certificates are renewed 30 days before their end, also for connections without a server name', async () => {
  const dayMs = 24 * 3_600_000;
  const clock = new HeldClock((Date.now() - 60 * dayMs - 600_000) * 1000);
  await withServer({ clock }, async (port, certificates) => {
    const serialFor = async (host: string) => (await certificateFor(port, host, certificates.caPem)).serialNumber;
    const serials = () => Promise.all(['a.berth.localhost', '127.0.0.1'].map(serialFor));
    const first = await serials();
    clock.advance(60 * dayMs - 600_000);
    await certificates.refresh();
    assert.deepEqual(await serials(), first);
    clock.advance(1_200_000);
    await certificates.refresh();
    for (const [index, serial] of (await serials()).entries()) assert.notEqual(serial, first[index]);
  });
});

/** A self-signed pair made by openssl, as an operator would bring. */
function bringPair(folder: string, names: string): { certPath: string; keyPath: string } {
  const pair = { certPath: join(folder, 'own.crt'), keyPath: join(folder, 'own.key') };
  const subject = ['-subj', '/CN=own', '-addext', `subjectAltName=${names}`];
  const files = ['-keyout', pair.keyPath, '-out', pair.certPath];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '9',
      ...subject,
      ...files,
    ],
    { stdio: 'ignore' },
  );
  return pair;
}

test('own certificates win by server name, wildcards stand for one label', async () => {
  const pair = bringPair(newFolder(), 'DNS:registry.example.com,DNS:*.berth.localhost');
  await withServer({ own: [pair] }, async (port, { caPem }) => {
    const own = readFileSync(pair.certPath, 'utf8');
    const { serialNumber } = new X509Certificate(own);
    for (const host of ['registry.example.com', 'a.berth.localhost']) {
      assert.equal((await certificateFor(port, host, own)).serialNumber, serialNumber);
    }
    for (const host of ['a.b.berth.localhost', 'localhost', '127.0.0.1']) await certificateFor(port, host, caPem);
  });
});

test('F-31: own certificates are replaced under load without a failed request; a broken pair is not taken up', async () => {
  const folder = newFolder();
  const pair = bringPair(folder, 'DNS:registry.example.com');
  await withServer({ own: [pair] }, async (port, certificates) => {
    const before = readFileSync(pair.certPath, 'utf8');
    const wrongKey = readFileSync(bringPair(newFolder(), 'DNS:registry.example.com').keyPath, 'utf8');
    let isLoading = true;
    const trusted = [before];
    const begun = [0, 0, 0, 0];
    const load = Promise.all(
      begun.map(async (_, client) => {
        while (isLoading) {
          begun[client] = (begun[client] ?? 0) + 1;
          await certificateFor(port, 'registry.example.com', trusted.join('\n'));
        }
      }),
    );
    writeFileSync(pair.keyPath, wrongKey);
    await certificates.refresh();
    const current = await certificateFor(port, 'registry.example.com', before);
    assert.equal(current.serialNumber, new X509Certificate(before).serialNumber);
    bringPair(folder, 'DNS:registry.example.com');
    const after = readFileSync(pair.certPath, 'utf8');
    trusted.push(after);
    // Connections that are under way know the old one alone.
    const soFar = [...begun];
    await waitFor('new connections', 60_000, () => begun.every((count, client) => count > (soFar[client] ?? 0)));
    await certificates.refresh();
    const replaced = await certificateFor(port, 'registry.example.com', after);
    assert.equal(replaced.serialNumber, new X509Certificate(after).serialNumber);
    isLoading = false;
    await load;
  });
});

test('a server does not start with certificate and key that do not belong together', async () => {
  const pair = bringPair(newFolder(), 'DNS:a.example.com');
  const other = bringPair(newFolder(), 'DNS:a.example.com');
  await assert.rejects(withServer({ own: [{ ...pair, keyPath: other.keyPath }] }, async () => {}));
});
