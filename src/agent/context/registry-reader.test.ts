import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { after, describe, test } from 'node:test';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { RunFailure } from '../run-failure.ts';
import { createRepositoryReader } from './registry-reader.ts';

const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
const servers: Server[] = [];
after(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await outbound.close();
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server on loopback, and the `Authorization` of all that it was asked. */
async function serverOf(answer: Answer): Promise<{ readonly host: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization ?? ''}`.trim());
    answer(request, response);
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { host: `127.0.0.1:${address.port}`, asked };
}

const basic = `Basic ${Buffer.from('user:password').toString('base64')}`;
const read = async (server: string, path = 'manifests/v1') => {
  const credential = { server, username: 'user', password: 'password' };
  const parts = { registry: outbound, outbound, signal: AbortSignal.timeout(120_000) };
  const chunks: Uint8Array[] = [];
  const body = await createRepositoryReader(parts, { server, repository: 'a', credential })(path, { maxBytes: 1_000 });
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};
const challenge = (response: ServerResponse, text: string) =>
  response.writeHead(401, { 'www-authenticate': text }).end();

describe('a repository elsewhere', () => {
  test('a token of the registry itself, asked for with the credential', async () => {
    const registry = await serverOf(({ url, headers }, response) => {
      if (url?.startsWith('/token') === true) response.end('{"token":"t"}');
      else if (headers.authorization === 'Bearer t') response.end('content');
      else challenge(response, `Bearer realm="http://${headers.host}/token",service="s"`);
    });
    assert.equal(await read(registry.host), 'content');
    assert.equal(registry.asked[1], `/token?service=s&scope=repository%3Aa%3Apull ${basic}`);
  });
  test('name and password, where the registry wants those', async () => {
    const registry = await serverOf(({ headers }, response) => {
      if (headers.authorization === basic) response.end('content');
      else challenge(response, 'Basic realm="r"');
    });
    assert.equal(await read(registry.host), 'content');
  });
  test('the credential goes to no other host that the registry names', async () => {
    const other = await serverOf((_, response) => response.end('{"token":"t"}'));
    const registry = await serverOf(({ headers }, response) => {
      if (headers.authorization === 'Bearer t') response.end('content');
      else challenge(response, `Bearer realm="http://${other.host}/token"`);
    });
    assert.equal(await read(registry.host), 'content');
    assert.deepEqual(other.asked, ['/token?scope=repository%3Aa%3Apull']);
  });
  test('a blob that lies elsewhere is fetched without the token', async () => {
    const store = await serverOf((_, response) => response.end('bytes'));
    const registry = await serverOf(({ headers }, response) => {
      if (headers.authorization !== basic) challenge(response, 'Basic realm="r"');
      else response.writeHead(307, { location: `http://${store.host}/blob?signature=x` }).end();
    });
    assert.equal(await read(registry.host, 'blobs/x'), 'bytes');
    assert.deepEqual(store.asked, ['/blob?signature=x']);
  });
  const failing: readonly [string, Answer, RegExp][] = [
    ['not found', (_, response) => response.writeHead(404).end('no such thing'), /404 no such thing/],
    ['another kind of sign-in', (_, response) => challenge(response, 'Digest realm="x"'), /sign-in of a kind/],
    ['never content', (_, response) => challenge(response, 'Basic realm="r"'), /401/],
    ['more than was said', (_, response) => response.end('x'.repeat(2_000)), /larger than its limit/],
  ];
  for (const [label, answer, reason] of failing) {
    test(`${label} is told`, async () => {
      const { host } = await serverOf(answer);
      await assert.rejects(read(host), (error: Error) => {
        const isSafe = !error.message.includes('password');
        return isSafe && reason.test(error.message) && (error instanceof RunFailure || label === 'more than was said');
      });
    });
  }
});
