import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { openCertificateAuthority } from '../certificates/certificate-authority.ts';
import { HeldClock } from '../held-clock.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import { createAddressCheck } from './address-check.ts';
import { createOutbound, type Outbound, type OutboundOptions, type OutboundRequest } from './outbound.ts';
import { OutboundError, type OutboundFault } from './outbound-error.ts';

type Seen = { readonly url: string; readonly headers: IncomingMessage['headers']; readonly method: string };

const servers: Server[] = [];
const gateways: Outbound[] = [];
after(async () => {
  for (const gateway of gateways) await gateway.close();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** A foreign server on loopback that writes down what it saw. */
async function foreign(answer: RequestListener): Promise<{ port: number; seen: Seen[]; connections: () => number }> {
  const seen: Seen[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    seen.push({ url: request.url ?? '', headers: request.headers, method: request.method ?? '' });
    answer(request, response);
  });
  server.on('connection', () => {
    connections += 1;
  });
  return { port: await listen(server), seen, connections: () => connections };
}

function gateway(options: Partial<OutboundOptions> = {}): Outbound {
  const made = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock, ...options });
  gateways.push(made);
  return made;
}

function hasFault(fault: OutboundFault, message = /./) {
  return (error: unknown) => error instanceof OutboundError && error.fault === fault && message.test(error.message);
}

async function textOf(outbound: Outbound, call: Partial<OutboundRequest> & { readonly url: string }): Promise<string> {
  const { body } = await outbound.call({ maxBytes: 1_000_000, ...call });
  let text = '';
  for await (const chunk of body) text += Buffer.from(chunk).toString();
  return text;
}

const ok = (_: IncomingMessage, response: ServerResponse) => response.end('ok');
const redirectTo =
  (location: string, status = 302) =>
  (_: IncomingMessage, response: ServerResponse) =>
    response.writeHead(status, { location }).end('elsewhere');

test('whoever knows of more that is not to be reached says so itself', async () => {
  const { port } = await foreign(ok);
  const asked: string[] = [];
  const isAllowed = (address: string) => {
    asked.push(address);
    return false;
  };
  for (const host of ['127.0.0.1', 'localhost'])
    await assert.rejects(textOf(gateway({ isAllowed }), { url: `http://${host}:${port}/` }), hasFault('blocked'));
  assert(asked.includes('127.0.0.1'));
});

describe('hostile targets', async () => {
  const canary = await foreign(ok);
  const inside = ['127.0.0.1', '10.0.0.1', '169.254.169.254', '::1', '::ffff:127.0.0.1'];
  const outbound = gateway({
    allow: [],
    resolve: async (name) => {
      const number = Number(/^n(\d)\./.exec(name)?.[1] ?? 0);
      if (name === 'mixed.example')
        return [
          { address: '93.184.215.14', family: 4 },
          { address: '127.0.0.1', family: 4 },
        ];
      const address = inside[number] ?? '127.0.0.1';
      return [{ address, family: address.includes(':') ? 6 : 4 }];
    },
  });
  const hosts = [
    ...[
      '127.0.0.1',
      '127.1',
      '127.255.255.254',
      '0.0.0.0',
      '0',
      '2130706433',
      '0x7f000001',
      '0x7f.1',
      '017700000001',
      '127.0.0.1.',
    ],
    ...[
      '10.0.0.1',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '100.64.0.1',
      '100.100.100.200',
      '169.254.169.254',
      '169.254.170.2',
    ],
    ...[
      '168.63.129.16',
      '192.0.0.192',
      '192.0.2.1',
      '198.18.0.1',
      '198.51.100.1',
      '203.0.113.1',
      '224.0.0.1',
      '240.0.0.1',
      '255.255.255.255',
    ],
    ...[
      '[::1]',
      '[::]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::127.0.0.1]',
      '[64:ff9b::7f00:1]',
      '[64:ff9b:1::1]',
      '[100::1]',
    ],
    ...[
      '[2002:7f00:1::]',
      '[2001:0:7f00:1::]',
      '[2001:db8::1]',
      '[3fff::1]',
      '[fc00::1]',
      '[fd00:ec2::254]',
      '[fe80::1]',
      '[fec0::1]',
      '[ff02::1]',
    ],
    ...[
      'localhost',
      'LOCALHOST.',
      'n0.example',
      'n1.example',
      'n2.example',
      'n3.example',
      'n4.example',
      'mixed.example',
      '127.0.0.1.nip.io',
    ],
  ];
  for (const host of hosts) {
    test(`${host} is not called`, async () => {
      for (const scheme of ['http', 'https']) {
        await assert.rejects(
          outbound.call({ url: `${scheme}://${host}:${canary.port}/`, maxBytes: 100 }),
          hasFault('blocked', /address/),
        );
      }
      assert.equal(canary.connections(), 0);
    });
  }

  for (const [url, message] of [
    ['ftp://example.com/', /scheme/],
    ['file:///etc/passwd', /scheme/],
    ['gopher://example.com/', /scheme/],
    ['http://user:secret@example.com/', /password/],
    ['http://example.com:22/', /port/],
    ['http://example.com:25/', /port/],
    ['https://example.com:1023/', /port/],
    ['http://', /malformed/],
    ['not an address', /malformed/],
    [`http://example.com/${'x'.repeat(9000)}`, /malformed/],
  ] as const) {
    test(`${url.slice(0, 40)} is refused`, async () => {
      await assert.rejects(outbound.call({ url, maxBytes: 100 }), hasFault('blocked', message));
    });
  }

  test('a redirect to a closed address is not followed', async () => {
    const open = gateway({
      allow: [],
      hosts: new Map([
        [
          'public.example',
          { host: '127.0.0.1', port: (await foreign(redirectTo(`http://127.0.0.1:${canary.port}/`))).port },
        ],
      ]),
    });
    await assert.rejects(open.call({ url: 'http://public.example/', maxBytes: 100 }), hasFault('blocked'));
    assert.equal(canary.connections(), 0);
  });
});

test('public addresses are open', () => {
  const isAllowed = createAddressCheck([]);
  for (const address of [
    '1.1.1.1',
    '93.184.215.14',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700:4700::1111',
    '2a00:1450:4001::1',
  ]) {
    assert.equal(isAllowed(address), true, address);
  }
  for (const address of ['', 'example.com', '1.1.1.1/32']) assert.equal(isAllowed(address), false, address);
  for (const network of ['10.0.0.0', 'x/8', '10.0.0.0/33', '10.0.0.0/'])
    assert.throws(() => createAddressCheck([network]), RangeError);
});

test('an opened network is called, and a chosen host gets the name that was asked for', async () => {
  const server = await foreign(ok);
  assert.equal(await textOf(gateway(), { url: `http://127.0.0.1:${server.port}/a?b=c` }), 'ok');
  const chosen = gateway({ allow: [], hosts: new Map([['docker.io', { host: '127.0.0.1', port: server.port }]]) });
  assert.equal(await textOf(chosen, { url: 'http://docker.io/v2/' }), 'ok');
  assert.deepEqual(
    server.seen.map(({ url, headers }) => [url, headers.host]),
    [
      ['/a?b=c', `127.0.0.1:${server.port}`],
      ['/v2/', 'docker.io'],
    ],
  );
});

test('credentials stay with their origin; a redirect on it keeps them', async () => {
  const other = await foreign(ok);
  const first = await foreign((request, response) => {
    const location = request.url === '/start' ? '/again' : `http://127.0.0.1:${other.port}/`;
    response.writeHead(307, { location }).end();
  });
  const credentials = { authorization: 'Bearer secret', 'x-api-key': 'secret' };
  const url = `http://127.0.0.1:${first.port}/start`;
  await textOf(gateway(), { url, credentials, headers: { accept: 'text/plain' } });
  assert.deepEqual(
    first.seen.map(({ headers }) => headers.authorization),
    ['Bearer secret', 'Bearer secret'],
  );
  assert.equal(JSON.stringify(other.seen).includes('secret'), false);
  assert.equal(other.seen[0]?.headers.accept, 'text/plain');
});

test('a secret header outside credentials is a mistake of the caller', async () => {
  await assert.rejects(
    gateway().call({ url: 'http://127.0.0.1/', headers: { Authorization: 'x' }, maxBytes: 1 }),
    TypeError,
  );
});

test('redirects end after five, and are the answer itself for other methods', async () => {
  const loop = await foreign(redirectTo('/again', 308));
  const url = `http://127.0.0.1:${loop.port}/`;
  await assert.rejects(gateway().call({ url, maxBytes: 100 }), hasFault('blocked', /redirects/));
  assert.equal(loop.seen.length, 6);
  const posted = await gateway().call({ url, method: 'POST', body: 'secret', maxBytes: 100 });
  assert.deepEqual([posted.status, posted.headers.get('location')], [308, '/again']);
  await posted.discard();
  const manual = await gateway().call({ url, maxRedirects: 0, maxBytes: 100 });
  assert.equal(manual.status, 308);
  await manual.discard();
});

test('bodies are sent, from a text or a stream', async () => {
  const echo = await foreign((request, response) => request.pipe(response));
  const url = `http://127.0.0.1:${echo.port}/`;
  const stream = async function* () {
    yield Buffer.from('one ');
    yield Buffer.from('two');
  };
  assert.equal(await textOf(gateway(), { url, method: 'PUT', body: 'text' }), 'text');
  assert.equal(await textOf(gateway(), { url, method: 'PUT', body: stream() }), 'one two');
});

test('an answer over its limit is cut, announced or not', async () => {
  const announced = await foreign((_, response) =>
    response.writeHead(200, { 'content-length': 2000 }).end('x'.repeat(2000)),
  );
  const endless = await foreign((_, response) => {
    const more = () => {
      while (response.write('x'.repeat(1000)));
      response.once('drain', more);
    };
    more();
  });
  for (const { port } of [announced, endless]) {
    await assert.rejects(textOf(gateway(), { url: `http://127.0.0.1:${port}/`, maxBytes: 1999 }), hasFault('tooLarge'));
  }
});

describe('time limits', () => {
  test('a server that never answers, over redirects too', async () => {
    const clock = new HeldClock();
    const silent = await foreign((request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/silent' }).end();
      else clock.advance(30_000);
    });
    await assert.rejects(
      gateway({ clock }).call({ url: `http://127.0.0.1:${silent.port}/`, maxBytes: 100 }),
      hasFault('timeout'),
    );
  });

  test('a body that drips for ever', async () => {
    const clock = new HeldClock();
    const dripping = await foreign((_, response) => {
      response.write('x');
      setTimeout(() => clock.advance(5000), 20);
    });
    const call = { url: `http://127.0.0.1:${dripping.port}/`, timeoutMs: 1000, totalTimeoutMs: 5000 };
    await assert.rejects(textOf(gateway({ clock }), call), hasFault('timeout'));
  });

  test('what is given up of a body that drips for ever', async () => {
    const clock = new HeldClock();
    const dripping = await foreign((_, response) => {
      response.write('x');
      const drips = setInterval(() => response.write('x'), 100);
      response.once('close', () => clearInterval(drips));
    });
    const call = { url: `http://127.0.0.1:${dripping.port}/`, maxBytes: 100 };
    const { discard } = await gateway({ clock }).call(call);
    const discarded = discard().then(() => 'given up');
    clock.advance(2_000);
    assert.equal(await Promise.race([discarded, systemClock.sleep(20_000).then(() => 'waited for')]), 'given up');
  });

  test('a body that stops in the middle', async () => {
    const stalled = await foreign((_, response) => response.write('x'));
    const call = { url: `http://127.0.0.1:${stalled.port}/`, idleTimeoutMs: 100 };
    await assert.rejects(textOf(gateway(), call), hasFault('timeout'));
  });

  test("the caller's own signal ends the call with its reason", async () => {
    const silent = await foreign(() => controller.abort(reason));
    const controller = new AbortController();
    const reason = new Error('server stops');
    const call = { url: `http://127.0.0.1:${silent.port}/`, signal: controller.signal };
    await assert.rejects(textOf(gateway(), call), reason);
  });
});

test('a connection that breaks is a temporary fault with its cause', async () => {
  const rude = await foreign((_, response) => response.socket?.destroy());
  const error = await textOf(gateway(), { url: `http://127.0.0.1:${rude.port}/` }).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof OutboundError && error.fault === 'failed' && error.isTemporary);
  assert.ok(error.cause instanceof Error);
});

test('a server that closes its connection harms no reader that is slower', async () => {
  const brief = await foreign((_, response) => {
    response.writeHead(200, { 'content-length': 400_000, connection: 'close' }).end('x'.repeat(400_000));
  });
  const answer = await gateway().call({ url: `http://127.0.0.1:${brief.port}/`, maxBytes: 1_000_000 });
  let total = 0;
  for await (const chunk of answer.body) {
    total += chunk.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(total, 400_000);
});

test('TLS is verified for the name that was asked, and never left by a redirect', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-outbound-'));
  const authority = await openCertificateAuthority({ folder, clock: systemClock, ids: systemIds });
  const leaf = await authority.issue({ dns: ['registry.example'], ip: [] });
  const plain = await foreign(ok);
  const server = createTlsServer({ cert: leaf.certPem, key: leaf.keyPem }, (request, response) => {
    if (request.url === '/down') response.writeHead(302, { location: `http://127.0.0.1:${plain.port}/` }).end();
    else response.end('ok');
  });
  const target = { host: '127.0.0.1', port: await listen(server) };
  const hosts = new Map([
    ['registry.example', target],
    ['other.example', target],
  ]);
  const trusting = gateway({ hosts, ca: [authority.certPem] });
  assert.equal(await textOf(trusting, { url: 'https://registry.example/' }), 'ok');
  await assert.rejects(textOf(trusting, { url: 'https://registry.example/down' }), hasFault('blocked', /TLS/));
  await assert.rejects(textOf(trusting, { url: 'https://other.example/' }), hasFault('failed'));
  await assert.rejects(textOf(gateway({ hosts }), { url: 'https://registry.example/' }), hasFault('failed'));
  assert.equal(plain.connections(), 0);
  rmSync(folder, { recursive: true });
});
