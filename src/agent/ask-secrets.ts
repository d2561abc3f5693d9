import type { AgentClient } from '../client/agent-client.ts';
import type { Clock } from '../platform/clock.ts';
import type { RunOrder, VaultSecrets } from '../wire/builds/agent-protocol.ts';
import type { VaultSecret } from '../wire/tasks/vault-secret.ts';
import { RunFailure } from './run-failure.ts';
import { isRefused, whileLeased } from './while-leased.ts';

export type AskSecretsParts = { readonly client: Pick<AgentClient, 'secrets'>; readonly clock: Clock };

const tooOld =
  'the task names secrets of key vaults, and the server of this agent does not know how to read them: it has to be upgraded';

/** What key vaults keep for a run, from a server that may be restarting. Throws RunFailure, LeaseLost. */
export async function askSecrets(
  { client, clock }: AskSecretsParts,
  order: Pick<RunOrder, 'lease' | 'leaseSeconds'>,
  secrets: readonly VaultSecret[],
  signal: AbortSignal,
): Promise<VaultSecrets> {
  try {
    return await whileLeased({ clock, order, signal }, () => client.secrets(order.lease, secrets, signal));
  } catch (cause) {
    if (!isRefused(cause)) throw cause;
    const why = cause.status === 404 ? tooOld : `the server refused to read secrets of key vaults: ${cause.message}`;
    throw new RunFailure(why, { cause });
  }
}
