import { type AgentClient, LeaseLost } from '../client/agent-client.ts';
import { ClientError } from '../client/client-error.ts';
import type { Clock } from '../platform/clock.ts';
import type { RunOrder, RunResult } from '../wire/builds/agent-protocol.ts';

export type FinishParts = { readonly client: Pick<AgentClient, 'finish'>; readonly clock: Clock };

const retryMs = 2_000;

/**
 * Tells the server what came of a run. It may be restarting: the result waits for it as long as the lease can last. One that it
 * refuses for good, of whatever size or form, is told as an error, so that nobody takes the agent for lost and does the run again.
 */
export async function finishRun(
  parts: FinishParts,
  order: Pick<RunOrder, 'lease' | 'leaseSeconds'>,
  result: RunResult,
): Promise<void> {
  try {
    await persist(parts, order, result);
  } catch (cause) {
    if (!isRefused(cause)) throw cause;
    const message = `the server refused what the run had to report: ${cause.message}`.slice(0, 1_000);
    await persist(parts, order, { status: 'Error', images: [], dependencies: [], message });
  }
}

async function persist(
  { client, clock }: FinishParts,
  { lease, leaseSeconds }: Pick<RunOrder, 'lease' | 'leaseSeconds'>,
  result: RunResult,
): Promise<void> {
  const began = clock.monotonicMs();
  for (;;) {
    try {
      await client.finish(lease, result);
      return;
    } catch (cause) {
      const isOver = clock.monotonicMs() - began > leaseSeconds * 1000;
      if (cause instanceof LeaseLost || isRefused(cause) || isOver) throw cause;
      await clock.sleep(retryMs);
    }
  }
}

function isRefused(cause: unknown): cause is ClientError {
  return cause instanceof ClientError && !cause.canRetry && cause.status < 500;
}
