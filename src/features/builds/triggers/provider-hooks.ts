import { z } from 'zod';
import type { Database } from '../../../platform/database/database.ts';
import type { JobKind } from '../../../platform/jobs/jobs.ts';
import type { Log } from '../../../platform/log.ts';
import type { Outbound } from '../../../platform/outbound/outbound.ts';
import { providerHooksJob } from '../tasks/task-change.ts';
import type { TaskSecretParts } from '../tasks/task-secrets.ts';
import { listSources, noteProviderHook, removeSource, type TaskSource } from '../tasks/task-sources.ts';
import { createProviderHook, providerHookSchema, removeProviderHook } from './provider-api.ts';
import { ProviderError } from './provider-call.ts';

export type ProviderHooksParts = TaskSecretParts & {
  readonly database: Database;
  readonly log: Log;
  readonly outbound: Pick<Outbound, 'call'>;
  /** Where providers reach this installation, without a slash at the end; undefined where they do not. */
  readonly hookOrigin: string | undefined;
};

const payloadSchema = z.object({ taskUid: z.string() });
/** With growing pauses: about a day. */
const maxAttempts = 30;

/** Brings what the hosts of a task's repositories call in line with the task. */
export function providerHooksKind(parts: ProviderHooksParts): JobKind {
  return {
    kind: providerHooksJob,
    run: async ({ payload, renew }) => await settleHooks(parts, payloadSchema.parse(payload).taskUid, renew),
    leaseMs: 120_000,
    maxAttempts,
  };
}

/** Where a repository is called at. */
export function hookUrl(origin: string, hookId: string): string {
  return `${origin}/hooks/git/${hookId}`;
}

/**
 * Makes the webhooks that are missing, where there is a token for it, and removes those that are not wanted any more. Throws ProviderError after all of them when one could not be brought in line.
 */
export async function settleHooks(
  parts: ProviderHooksParts,
  taskUid: string,
  renew: () => Promise<void>,
): Promise<void> {
  const failures: ProviderError[] = [];
  for (const source of await listSources(parts, parts.database.read, taskUid)) {
    try {
      await (source.isLeaving ? remove(parts, source) : create(parts, source));
    } catch (error) {
      if (!(error instanceof ProviderError)) throw error;
      failures.push(error);
      const hook = source.providerHook ?? null;
      await parts.database.transaction((tx) => noteProviderHook(tx, source, { hook, problem: error.message }));
    }
    await renew();
  }
  if (failures[0] !== undefined) throw failures[0];
}

async function create(parts: ProviderHooksParts, source: TaskSource): Promise<void> {
  const { token, repositoryUrl, secret } = source.secrets;
  const { hookOrigin } = parts;
  if (token === undefined || hookOrigin === undefined || source.providerHook !== undefined) return;
  const callUrl = hookUrl(hookOrigin, source.hookId);
  const hook = await createProviderHook(parts.outbound, { repositoryUrl, token, callUrl, secret });
  await parts.database.transaction((tx) => noteProviderHook(tx, source, { hook: JSON.stringify(hook), problem: null }));
  parts.log.info('webhook made at a git host', { taskUid: source.taskUid, host: new URL(hook.url).host });
}

async function remove(parts: ProviderHooksParts, source: TaskSource): Promise<void> {
  const { token } = source.secrets;
  if (source.providerHook !== undefined && token !== undefined)
    await removeProviderHook(parts.outbound, providerHookSchema.parse(JSON.parse(source.providerHook)), token);
  await parts.database.transaction((tx) => removeSource(tx, source));
}
