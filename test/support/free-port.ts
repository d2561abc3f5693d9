import { createServer } from 'node:net';
import { keepName } from './kept-name.ts';

const first = 20_000;
const count = 12_000;

/**
 * A TCP port that nobody listens on, on 127.0.0.1 and, where this machine has IPv6, [::1]; below the range from which the
 * kernel takes ports for outgoing connections, so that none of those takes it before the caller does. No two test processes
 * are given the same one: each keeps it until it ends.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = first + Math.floor(Math.random() * count);
    const isOurs = (await keepName(`port-${port}`)) !== undefined;
    if (isOurs && (await canListen(port, '127.0.0.1')) && (await canListen(port, '::1'))) return port;
  }
  throw new Error('found no free TCP port');
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(host === '::1' && isWithoutIpv6(error)));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

function isWithoutIpv6(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT';
}
