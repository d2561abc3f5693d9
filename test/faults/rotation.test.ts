import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, renameSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { z } from 'zod';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed, imageOf } from './content.ts';
import { isLong } from './length.ts';
import { Trial } from './trial.ts';

/** The server looks at its certificate files every 30 s, at signing keys of others every 60 s. */
const noticedMs = 90_000;

describe('F-31: what signs and encrypts is replaced under load', { concurrency: true }, () => {
  test('a certificate replaced on disk is served without a failed request', async () => {
    using folder = temporaryFolder('certificates');
    const [certificate, key] = [join(folder.path, 'certificate.pem'), join(folder.path, 'key.pem')];
    await makeCertificate(certificate, key);
    await using trial = await withImage({ 'tls-certificates': `${certificate}:${key}` });
    const first = readFileSync(certificate, 'utf8');
    const load = startLoad(() => pullOverTls(trial, readFileSync(certificate, 'utf8'), first));
    assert.equal(await servedCertificate(trial), fingerprintOf(first));
    await makeCertificate(`${certificate}.new`, `${key}.new`);
    renameSync(`${key}.new`, key);
    renameSync(`${certificate}.new`, certificate);
    const second = fingerprintOf(readFileSync(certificate, 'utf8'));
    await waitFor('the new certificate is served', noticedMs, async () => (await servedCertificate(trial)) === second);
    const { done, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(done > 50);
  });

  const isLate = isLong ? false : 'in long runs only: the server looks for keys that others retired once a minute';
  test('a signing key retired while tokens are issued: no request fails', { skip: isLate }, async () => {
    await using trial = await withImage({});
    const old = await tokenOf(trial);
    const load = startLoad(async () => {
      assert.equal(await statusWith(trial, await tokenOf(trial)), 200);
      assert.equal(await statusWith(trial, old), 200);
    });
    retireSigningKeys(trial.dataFolder);
    await waitFor('a new key signs', noticedMs, async () => keyOf(await tokenOf(trial)) !== keyOf(old));
    const { done, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(done > 50);
  });

  test('a signing key retired: old tokens hold, new ones come from a new key, also after a restart', async () => {
    await using trial = await withImage({});
    const old = await tokenOf(trial);
    retireSigningKeys(trial.dataFolder);
    await trial.stop();
    await trial.start();
    const fresh = await tokenOf(trial);
    assert.notEqual(keyOf(fresh), keyOf(old));
    for (const token of [old, fresh]) assert.equal(await statusWith(trial, token), 200);
  });
});

async function withImage(settings: Readonly<Record<string, string>>): Promise<Trial> {
  const trial = new Trial({ settings });
  await trial.start();
  const blob = blobSeed(50_000);
  await trial.client.pushBlob('rotated', blob);
  await trial.client.putManifest('rotated', 'v1', imageOf([blob]));
  return trial;
}

/** Repeats work with pauses until stopped. */
function startLoad(work: () => Promise<void>) {
  const stop = new AbortController();
  const tally: { done: number; failures: string[] } = { done: 0, failures: [] };
  const client = async () => {
    while (!stop.signal.aborted) {
      try {
        await work();
        tally.done += 1;
      } catch (error) {
        tally.failures.push(String(error));
      }
      await sleep(100);
    }
  };
  const clients = [client(), client(), client()];
  return {
    stop: async () => {
      stop.abort();
      await Promise.all(clients);
      return tally;
    },
  };
}

async function makeCertificate(certificate: string, key: string): Promise<void> {
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '10'];
  await run('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', certificate]);
}

/** On a connection of its own, trusting the certificates given. */
async function pullOverTls(trial: Trial, ...ca: readonly string[]): Promise<void> {
  const { username, password } = trial.server.admin;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const options = { ca: [...ca], agent: false, auth: `${username}:${password}` };
  request(`${trial.server.https}/v2/rotated/manifests/v1`, options, (incoming) => {
    incoming
      .resume()
      .once('end', () => resolve(incoming.statusCode ?? 0))
      .once('error', reject);
  })
    .once('error', reject)
    .end();
  assert.equal(await promise, 200);
}

/** What a client sees, trusted or not. */
async function servedCertificate(trial: Trial): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = {
    port: trial.server.ports.https,
    host: '127.0.0.1',
    servername: 'localhost',
    rejectUnauthorized: false,
  };
  const socket = connect(options, () => resolve(socket.getPeerCertificate().fingerprint256));
  socket.once('error', reject);
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256;
}

/** As after 90 days: the keys verify for a day more. */
function retireSigningKeys(dataFolder: string): void {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { timeout: 5_000 });
  database.exec("update signing_keys set retires_at = 0 where purpose = 'registryToken'");
  database.close();
}

const tokenSchema = z.object({ access_token: z.string() });

async function tokenOf(trial: Trial): Promise<string> {
  const { name, loginServer } = trial.server.bootstrap.registry;
  const path = `/oauth2/token?service=${loginServer}&scope=repository:rotated:pull&account=${name}`;
  const { body } = await trial.client.expect(200, 'GET', path);
  return tokenSchema.parse(JSON.parse(body.toString())).access_token;
}

function keyOf(token: string): string {
  const header: unknown = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
  return z.object({ kid: z.string() }).parse(header).kid;
}

async function statusWith(trial: Trial, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  return (await trial.client.call('GET', '/v2/rotated/manifests/v1', { headers })).status;
}
