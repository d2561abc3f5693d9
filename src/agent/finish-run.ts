import type { AgentClient } from '../client/agent-client.ts';
import type { Clock } from '../platform/clock.ts';
import type { RunOrder, RunResult } from '../wire/builds/agent-protocol.ts';
import { isRefused, whileLeased } from './while-leased.ts';

export type FinishParts = { readonly client: Pick<AgentClient, 'finish'>; readonly clock: Clock };

/**
 * Tells the server what came of a run. It may be restarting: the result waits for it as long as the lease can last. One that it
 * refuses for good, of whatever size or form, is told as an error, so that nobody takes the agent for lost and does the run again.
 */
export async function finishRun(
  { client, clock }: FinishParts,
  order: Pick<RunOrder, 'lease' | 'leaseSeconds'>,
  result: RunResult,
): Promise<void> {
  const tell = (each: RunResult) => whileLeased({ clock, order }, () => client.finish(order.lease, each));
  try {
    await tell(result);
  } catch (cause) {
    if (!isRefused(cause)) throw cause;
    const message = `the server refused what the run had to report: ${cause.message}`.slice(0, 1_000);
    await tell({ status: 'Error', images: [], dependencies: [], message });
  }
}
