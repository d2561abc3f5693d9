import { LeaseLost } from '../client/agent-client.ts';
import { ClientError } from '../client/client-error.ts';
import type { Clock } from '../platform/clock.ts';
import type { RunOrder } from '../wire/builds/agent-protocol.ts';

export type WhileLeased = {
  readonly clock: Clock;
  readonly order: Pick<RunOrder, 'leaseSeconds'>;
  readonly signal?: AbortSignal;
};

const retryMs = 2_000;

/**
 * Asks a server that may be restarting, again and again for as long as a lease can last after the first failure. What is
 * asked has to be fit for being done twice. Throws LeaseLost, what is refused for good, and the last failure.
 */
export async function whileLeased<T>({ clock, order, signal }: WhileLeased, ask: () => Promise<T>): Promise<T> {
  let failedAt: number | undefined;
  for (;;) {
    try {
      return await ask();
    } catch (cause) {
      signal?.throwIfAborted();
      failedAt ??= clock.monotonicMs();
      const isOver = clock.monotonicMs() - failedAt > order.leaseSeconds * 1000;
      if (cause instanceof LeaseLost || isRefused(cause) || isOver) throw cause;
      await clock.sleep(retryMs, signal);
    }
  }
}

/** Whether the server will say the same again. */
export function isRefused(cause: unknown): cause is ClientError {
  return cause instanceof ClientError && !cause.canRetry && cause.status < 500;
}
