import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from './metrics.ts';
import { routePattern } from './route-pattern.ts';

export type ObserveParts = { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics };

type Told = {
  readonly correlationId: string;
  readonly address: string;
  readonly path: string;
  /** Asked when the exchange is over: registry and identity, where there are some. */
  readonly who?: () => Readonly<Record<string, string>>;
};

/** Bytes of a connection that earlier exchanges have accounted for. */
const counted = new WeakMap<Socket, { received: number; sent: number }>();

/**
 * Counts, times and logs one exchange when its response closes, finished or cut. Successful reads and upload steps are logged at `debug`.
 * The query is left out of the log: it can carry tokens.
 */
export function observe(
  { clock, log, metrics }: ObserveParts,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { who, ...told }: Told,
): void {
  const { socket, method = '' } = incoming;
  const startedMs = clock.monotonicMs();
  metrics.begin();
  outgoing.once('close', () => {
    const seconds = (clock.monotonicMs() - startedMs) / 1_000;
    const status = outgoing.statusCode;
    const { received, sent } = countBytes(socket);
    metrics.end({ method, route: routePattern(told.path), status, seconds, receivedBytes: received, sentBytes: sent });
    const fields = { ...told, ...who?.(), method, status, seconds: Number(seconds.toFixed(6)), received, sent };
    const userAgent = incoming.headers['user-agent'];
    log[levelOf(method, status)]('request', {
      ...fields,
      ...(userAgent === undefined ? {} : { userAgent }),
      ...(outgoing.writableFinished ? {} : { cut: true }),
    });
  });
}

/** Steps on the way to a pushed blob and successful reads are told only on demand: the journal and the access log have them. */
const quietMethods = ['GET', 'HEAD', 'POST', 'PATCH'];

function levelOf(method: string, status: number): 'debug' | 'info' | 'warn' {
  if (status >= 500) return 'warn';
  // A 401 is how every client learns where to sign in.
  return status === 401 || (quietMethods.includes(method) && status < 400) ? 'debug' : 'info';
}

function countBytes(socket: Socket): { received: number; sent: number } {
  const before = counted.get(socket) ?? { received: 0, sent: 0 };
  const now = { received: socket.bytesRead, sent: socket.bytesWritten };
  counted.set(socket, now);
  return { received: now.received - before.received, sent: now.sent - before.sent };
}
