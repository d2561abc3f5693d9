import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRelay } from './relay.ts';

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

async function listen(host: string, answer: Parameters<Server['on']>[1], pauseOnConnect = false): Promise<number> {
  const server = createServer({ pauseOnConnect }, answer).listen(0, host);
  servers.push(server);
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

for (const host of ['localhost', '127.0.0.1', 'registry.localhost']) {
  test(`a server on this machine (${host}) can tell builds from the machine itself`, async () => {
    const port = await listen('127.0.0.1', (socket) => {
      socket.once('data', (chunk: Buffer) => socket.end(`${chunk} from ${socket.remoteAddress}`));
    });
    const relay = await listen('127.0.0.1', createRelay({ host, port }), true);
    const client = connect(relay, '127.0.0.1');
    client.write('hello');
    const [answer] = await once(client.setEncoding('utf8'), 'data');
    assert.equal(answer, 'hello from 127.0.0.2');
  });
}

test('a server that is not there, or has no address, ends the connection', async () => {
  for (const target of [
    { host: '127.0.0.1', port: 1 },
    { host: 'nowhere.invalid', port: 443 },
  ]) {
    const relay = await listen('127.0.0.1', createRelay(target), true);
    const client = connect(relay, '127.0.0.1');
    client.on('error', () => client.destroy());
    await once(client.resume(), 'close');
  }
});

test('what a server sends before it ends its connection arrives whole, however late it is read', async () => {
  const port = await listen('127.0.0.1', (socket) => {
    socket.once('data', (asked: Buffer) => socket.end(Buffer.alloc(Number(asked))));
  });
  const relay = await listen('127.0.0.1', createRelay({ host: '127.0.0.1', port }), true);
  // Of some of these the last bytes stand in the relay when the server has ended.
  for (let sent = 1_000_000; sent < 9_000_000; sent += 60_000) {
    const client = connect(relay, '127.0.0.1').pause();
    client.write(String(sent));
    await sleep(30);
    let received = 0;
    for await (const chunk of client) received += chunk.length;
    assert.equal(received, sent);
  }
});

test('a server that breaks its connection in the middle breaks that of the build', async () => {
  const port = await listen('127.0.0.1', (socket) => {
    socket.write('half of it', () => socket.resetAndDestroy());
  });
  const relay = await listen('127.0.0.1', createRelay({ host: '127.0.0.1', port }), true);
  const client = connect(relay, '127.0.0.1');
  client.on('error', () => client.destroy());
  await once(client.resume(), 'close');
});
