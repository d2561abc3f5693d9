import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../platform/clock.ts';
import { createOutbound, type Outbound } from '../../platform/outbound/outbound.ts';
import { RunFailure } from '../run-failure.ts';
import { openRemoteArchive } from './remote-archive.ts';

const clock: Clock = {
  nowMicros: () => Date.now() * 1000,
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => await delay(ms, undefined, { signal }),
};
let server: Server;
let outbound: Outbound;
let asked: string[] = [];

before(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    if (path === '/missing') response.writeHead(404).end('no such file here');
    else if (path === '/down' || (path === '/shaky' && asked.length < 3)) response.writeHead(503).end('busy');
    else response.end('bytes');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock });
});
after(async () => {
  await outbound.close();
  server.closeAllConnections();
  server.close();
});

async function textOf(path: string): Promise<string> {
  asked = [];
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const url = `http://127.0.0.1:${address.port}${path}`;
  const signal = AbortSignal.timeout(120_000);
  const chunks: Uint8Array[] = [];
  for await (const chunk of await openRemoteArchive({ outbound, clock }, { url, maxBytes: 1_000, signal })) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

test('an archive elsewhere is read', async () => assert.equal(await textOf('/a.tar.gz'), 'bytes'));
test('a server that is busy is asked three times', async () => {
  assert.equal(await textOf('/shaky'), 'bytes');
  await assert.rejects(textOf('/down'), /503 busy/);
  assert.equal(asked.length, 3);
});
test('a refusal is final, and its text is told', async () => {
  await assert.rejects(textOf('/missing'), (error: Error) => {
    return error instanceof RunFailure && error.message.includes('404 no such file here');
  });
  assert.equal(asked.length, 1);
});
