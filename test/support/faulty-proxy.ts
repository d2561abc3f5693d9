import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What becomes of one request: `cut` breaks the answer in the middle of its body, `lose` sends it on and breaks without an answer. */
export type Fault = 'pass' | 'slowDown' | 'cut' | 'lose' | 'hang';

export type FaultyProxy = AsyncDisposable & {
  readonly endpoint: string;
  /** Requests that came, as `GET /path`. */
  readonly seen: string[];
};

const slowDown =
  '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>';

/** Stands before a store on loopback and does to each request what `faultOf` says of it and of the number of those before it. */
export async function startFaultyProxy(
  target: string,
  faultOf: (incoming: IncomingMessage, index: number) => Fault,
): Promise<FaultyProxy> {
  const seen: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const fault = faultOf(incoming, seen.length);
    seen.push(`${incoming.method} ${incoming.url}`);
    if (fault === 'hang') return;
    if (fault === 'slowDown') {
      incoming.resume();
      outgoing.writeHead(503, { 'content-type': 'application/xml' }).end(slowDown);
      return;
    }
    const { hostname, port } = new URL(target);
    const { method, url, headers } = incoming;
    const onward = request({ hostname, port, method, path: url, headers }, (answer) => {
      if (fault === 'lose') {
        outgoing.destroy();
        answer.resume();
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      let left = fault === 'cut' ? Math.floor(Number(answer.headers['content-length'] ?? 0) / 2) : Infinity;
      answer.on('data', (chunk: Buffer) => {
        if (left <= 0) return;
        outgoing.write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) setImmediate(() => outgoing.destroy());
      });
      answer.on('end', () => {
        if (left > 0) outgoing.end();
      });
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // Cast: a server that listens on an address and port has one of these.
  const { port } = server.address() as AddressInfo;
  const path = new URL(target).pathname.replace(/\/$/, '');
  return {
    endpoint: `http://127.0.0.1:${port}${path}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
