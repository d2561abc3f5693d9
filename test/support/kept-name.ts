import { createServer } from 'node:net';

/**
 * Keeps a name that one process of this machine has at a time, until it is disposed of or this process ends in whatever way; undefined where
 * another has it. It is that of an abstract Unix socket, of at most 90 characters, which the kernel takes back; processes in another network
 * namespace do not see it. Throws when it cannot be asked for. Source: unix(7).
 */
export function keepName(name: string): Promise<Disposable | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer().unref();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen({ path: `\0berth-test-${name}` }, () => resolve({ [Symbol.dispose]: () => void server.close() }));
  });
}
