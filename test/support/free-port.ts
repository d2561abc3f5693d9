import { createServer } from 'node:net';

const first = 20_000;
const count = 12_000;
const given = new Set<number>();

/**
 * A TCP port that nobody listens on, on 127.0.0.1 and [::1]; below the range from which the kernel takes ports for
 * outgoing connections, so that none of those takes it before the caller does. Never gives the same port twice.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = first + Math.floor(Math.random() * count);
    if (!given.has(port) && (await canListen(port, '127.0.0.1')) && (await canListen(port, '::1'))) {
      given.add(port);
      return port;
    }
  }
  throw new Error('found no free TCP port');
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
