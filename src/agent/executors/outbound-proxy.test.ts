import assert from 'node:assert/strict';
import { createServer as createWebServer, request, type Server as WebServer } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../test/support/wait-for.ts';
import { createAddressCheck } from '../../platform/outbound/address-check.ts';
import { createOutboundProxy } from './outbound-proxy.ts';

let canary: WebServer;
let strange: Server;
let proxy: Server;
let reached = 0;
/** What the strange server answers; undefined: nothing. */
let strangeAnswer: string | undefined;
const outside = new Set<Socket>();

const portOf = (server: Server) => {
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
};

before(async () => {
  canary = createWebServer((incoming, response) => {
    reached += 1;
    response.end(JSON.stringify(incoming.headers));
  });
  strange = createServer((socket) => {
    outside.add(socket);
    socket.on('close', () => outside.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', () => strangeAnswer !== undefined && socket.end(strangeAnswer));
  });
  const chosen = () =>
    new Map([
      ['chosen.example', { host: '127.0.0.1', port: portOf(canary) }],
      ['strange.example', { host: '127.0.0.1', port: portOf(strange) }],
    ]);
  await new Promise<void>((resolve) => strange.listen(0, '127.0.0.1', resolve));
  await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve));
  const answer = createOutboundProxy({ isAllowed: createAddressCheck([]), hosts: chosen() });
  proxy = createServer(answer);
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
});
after(() => {
  proxy.close();
  canary.closeAllConnections();
  canary.close();
  strange.close();
});

function asked(url: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'proxy-authorization': 'Basic c2VjcmV0', connection: 'close' };
    const outgoing = request({ host: '127.0.0.1', port: portOf(proxy), path: url, headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** The first line of what a tunnel to an address is answered. */
function tunnelled(authority: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(portOf(proxy), '127.0.0.1', () => socket.write(`CONNECT ${authority} HTTP/1.1\r\n\r\n`));
    socket.once('data', (chunk) => {
      resolve(String(chunk).split('\r\n')[0] ?? '');
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

for (const host of [
  '127.0.0.1',
  'localhost',
  '[::1]',
  '169.254.169.254',
  '10.0.0.1',
  '[::ffff:127.0.0.1]',
  '2130706433',
]) {
  test(`${host} is not reached, neither plain nor through a tunnel`, async () => {
    const before = reached;
    assert.equal((await asked(`http://${host}:${portOf(canary)}/`)).status, 403);
    assert.match(await tunnelled(`${host}:${portOf(canary)}`), /^HTTP\/1.1 403/);
    assert.equal(reached, before);
  });
}

test('a name that the operator leads elsewhere is reached, without what was meant for the proxy', async () => {
  const { status, text } = await asked('http://chosen.example/');
  assert.equal(status, 200);
  assert.doesNotMatch(text, /proxy-/);
  assert.match(await tunnelled('chosen.example:443'), /^HTTP\/1.1 200/);
});
test('ports of other services are not reached', async () => {
  assert.match(await tunnelled('192.0.2.1:25'), /^HTTP\/1.1 403/);
});
test('what is no address is refused', async () => {
  assert.equal((await asked('/etc/passwd')).status, 403);
  assert.equal((await asked('ftp://chosen.example/')).status, 403);
  assert.match(await tunnelled('::::'), /^HTTP\/1.1 403/);
});

for (const [label, answer] of [
  ['no status', 'HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n'],
  ['a status above all', 'HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n'],
  ['a protocol that nobody asked for', 'HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n'],
] as const) {
  test(`an answer with ${label} is refused, and the proxy goes on`, async () => {
    strangeAnswer = answer;
    assert.equal((await asked('http://strange.example/')).status, 403);
    assert.equal((await asked('http://chosen.example/')).status, 200);
  });
}
test('an answer that announces trailers which it cannot have is given on', async () => {
  strangeAnswer = 'HTTP/1.1 200 OK\r\nTrailer: a\r\nContent-Length: 0\r\n\r\n';
  assert.equal((await asked('http://strange.example/')).status, 200);
});
describe('connections outside', () => {
  before(() => {
    strangeAnswer = undefined;
  });
  const none = () => waitFor('no connection is open', 120_000, () => outside.size === 0);

  test('they end with those who asked, also when these did not wait', async () => {
    const rules = { isAllowed: createAddressCheck(['127.0.0.0/8', '::1/128']), hosts: new Map() };
    const open = createServer(createOutboundProxy(rules));
    await new Promise<void>((resolve) => open.listen(0, '127.0.0.1', resolve));
    const target = `localhost:${portOf(strange)}`;
    for (let count = 0; count < 100; count += 1) {
      const text = count % 2 === 0 ? `CONNECT ${target}` : `GET http://${target}/`;
      const socket = connect(portOf(open), '127.0.0.1');
      socket.on('error', () => socket.destroy());
      socket.write(`${text} HTTP/1.1\r\nHost: ${target}\r\n\r\n`, () => socket.resetAndDestroy());
    }
    // Those that were on their way have arrived.
    await sleep(500);
    open.close();
    await none();
  });
  test('they are limited, also when one connection asks for many', async () => {
    const socket = connect(portOf(proxy), '127.0.0.1');
    socket.write('GET http://strange.example/ HTTP/1.1\r\nHost: strange.example\r\n\r\n'.repeat(400));
    await waitFor('the limit is reached', 120_000, () => outside.size === 256);
    assert.match(await tunnelled('strange.example:443'), /^HTTP\/1.1 403/);
    assert.equal(outside.size, 256);
    socket.destroy();
    await none();
    assert.match(await tunnelled('strange.example:443'), /^HTTP\/1.1 200/);
  });
});
