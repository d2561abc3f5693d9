import { z } from 'zod';
import type { Database, Queries, Transaction } from '../../../platform/database/database.ts';
import type { JobKind, Jobs } from '../../../platform/jobs/jobs.ts';
import type { Log } from '../../../platform/log.ts';
import type { Outbound } from '../../../platform/outbound/outbound.ts';
import { OutboundError } from '../../../platform/outbound/outbound-error.ts';
import { outputImageSchema } from '../../../wire/builds/run-work.ts';
import { findByUid } from '../../resources/resource-store.ts';
import { runFactsSchema } from '../run-store.ts';
import { openTask, type TaskSecretParts } from '../tasks/task-secrets.ts';

export type BaseUpdateCallParts = TaskSecretParts & {
  readonly database: Database;
  readonly log: Log;
  readonly outbound: Pick<Outbound, 'call'>;
};

const kind = 'builds.bases.call';
/** With growing pauses: about an hour. */
const maxAttempts = 20;
const timeoutMs = 10_000;
/** Among so many runs of a task the token that it was given last is looked for. */
const rememberedRuns = 100;

const payloadSchema = z.object({
  taskUid: z.string(),
  registryUid: z.string(),
  runId: z.string(),
  id: z.string(),
  timestamp: z.string(),
  images: z.array(outputImageSchema),
});
export type BaseUpdate = z.infer<typeof payloadSchema>;

/** An endpoint that is to be called again. */
class CallFailed extends Error {}

/** Plans the call of a task's `updateTriggerEndpoint`, with the transaction that starts it by its base image. */
export async function planBaseUpdateCall(tx: Transaction, jobs: Pick<Jobs, 'add'>, update: BaseUpdate): Promise<void> {
  await jobs.add(tx, { kind, key: update.id, payload: update });
}

/** Tells endpoints of tasks that a base image of theirs has changed. Source: ACR tasks, 4.3, "Webhook". */
export function baseUpdateCallKind(parts: BaseUpdateCallParts): JobKind {
  return {
    kind,
    run: async ({ payload, attempt, signal }) => {
      const update = payloadSchema.parse(payload);
      try {
        await callEndpoint(parts, update, signal);
      } catch (error) {
        if (!(error instanceof CallFailed) || attempt < maxAttempts) throw error;
        parts.log.warn('an endpoint never heard of a base image', {
          taskUid: update.taskUid,
          runId: update.runId,
          error,
        });
      }
    },
    leaseMs: 60_000,
    maxAttempts,
  };
}

/** An endpoint that refuses it for good is not called again. Throws CallFailed where another try may help. */
async function callEndpoint(parts: BaseUpdateCallParts, update: BaseUpdate, signal: AbortSignal): Promise<void> {
  const { database, outbound, log } = parts;
  const resource = await findByUid(database.read, update.taskUid);
  const trigger = resource && openTask(parts, resource).trigger?.baseImageTrigger;
  const url = trigger?.updateTriggerEndpoint;
  if (!resource || !url) return;
  const updateTriggerToken = await lastToken(database.read, update);
  const isTokenAlone = trigger.updateTriggerPayloadType === 'Token';
  const body = isTokenAlone ? { updateTriggerToken } : { ...metadataOf(update, resource), updateTriggerToken };
  try {
    const { status, discard } = await outbound.call({
      ...{ url, method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
      // Nothing of the answer is read, however long it says it is.
      ...{ maxRedirects: 0, maxBytes: Number.MAX_SAFE_INTEGER, timeoutMs, signal },
    });
    await discard();
    log.info('task told an endpoint of its base image', { taskUid: update.taskUid, host: new URL(url).host, status });
    if (status === 408 || status === 429 || status >= 500) throw new CallFailed(`the endpoint answered ${status}`);
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error;
    throw new CallFailed(error.message, { cause: error });
  }
}

function metadataOf(
  { id, timestamp, runId, images }: BaseUpdate,
  task: { readonly id: string; readonly name: string },
): object {
  return {
    id,
    timestamp,
    action: 'base_image_update',
    task: { id: task.id, name: task.name },
    run: { id: runId },
    images,
  };
}

/** What `az acr task run --update-trigger-token` said last: base64, as clients send it; null without any. */
async function lastToken(
  queries: Queries,
  { taskUid, registryUid }: Pick<BaseUpdate, 'taskUid' | 'registryUid'>,
): Promise<string | null> {
  const rows = await queries
    .selectFrom('runs')
    .select('facts')
    .where('registry_uid', '=', registryUid)
    .where('task_uid', '=', taskUid)
    .orderBy('created_at', 'desc')
    .limit(rememberedRuns)
    .execute();
  for (const { facts } of rows) {
    const { updateTriggerToken } = runFactsSchema.parse(JSON.parse(facts));
    if (updateTriggerToken !== undefined) return updateTriggerToken;
  }
  return null;
}
