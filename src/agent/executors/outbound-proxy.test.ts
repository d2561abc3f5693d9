import assert from 'node:assert/strict';
import { createServer as createWebServer, request, type Server as WebServer } from 'node:http';
import { connect, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import { createAddressCheck } from '../../platform/outbound/address-check.ts';
import { createOutboundProxy } from './outbound-proxy.ts';

let canary: WebServer;
let proxy: Server;
let reached = 0;

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
  const chosen = () => new Map([['chosen.example', { host: '127.0.0.1', port: portOf(canary) }]]);
  await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve));
  const answer = createOutboundProxy({ isAllowed: createAddressCheck([]), hosts: chosen() });
  proxy = createServer(answer);
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
});
after(() => {
  proxy.close();
  canary.closeAllConnections();
  canary.close();
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
