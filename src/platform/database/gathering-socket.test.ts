import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { test } from 'node:test';
import { GatheringSocket } from './gathering-socket.ts';

test('what is written in one turn is sent together, and the next turn by itself', async () => {
  await using server = await listening();
  using socket = connected(server.port);
  const [connection] = await once(server.listener, 'connection');
  const written = () => Array.from({ length: 20 }, (_, index) => `${index};`).join('');
  for (let turn = 0; turn < 3; turn++) {
    for (let index = 0; index < 20; index++) {
      socket.cork();
      socket.write(`${index};`);
      socket.uncork();
      await Promise.resolve();
    }
    assert.equal(String((await once(connection, 'data'))[0]), written());
  }
});

test('a write tells when it is done, and an end sends what was written before it', async () => {
  await using server = await listening();
  using socket = connected(server.port);
  const [connection] = await once(server.listener, 'connection');
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.cork();
  socket.write('first;', () => resolve());
  socket.uncork();
  socket.write('second;');
  socket.end();
  await promise;
  assert.equal(Buffer.concat(await connection.toArray()).toString(), 'first;second;');
});

function connected(port: number): GatheringSocket & Disposable {
  const socket = new GatheringSocket();
  socket.connect({ host: '127.0.0.1', port });
  return Object.assign(socket, { [Symbol.dispose]: () => void socket.destroy() });
}

async function listening(): Promise<AsyncDisposable & { readonly listener: Server; readonly port: number }> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    listener,
    port: address.port,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await once(listener, 'close');
    },
  };
}
