import type { Selectable } from 'kysely';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForKeyShare, lockedForUpdate } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import type { Cursor } from '../../platform/journal/journal.ts';
import type { WebhookForm } from './webhook.ts';

/** The job that brings a webhook what it was not told yet; its key is the webhook's uid. */
export const deliverJob = 'webhooks.deliver';

export type WebhookRow = Selectable<Schema['webhooks']>;

export type WebhookWrite = {
  readonly uid: string;
  readonly registryUid: string;
  readonly form: WebhookForm;
  readonly isEnabled: boolean;
  readonly filter: object;
  readonly sealedTarget: Uint8Array;
  readonly nowMicros: number;
};

/** Where a webhook stands in one stream: `part` notifications of the event after `seq` were delivered already. */
export type WebhookCursor = {
  readonly stream: string;
  readonly incarnation: string;
  readonly seq: number;
  readonly part: number;
};

/** Writes a webhook, new or changed; a changed one is tried at once. */
export async function writeWebhook(tx: Transaction, write: WebhookWrite): Promise<void> {
  const changing = {
    is_enabled: write.isEnabled ? 1 : 0,
    filter: JSON.stringify(write.filter),
    sealed_target: write.sealedTarget,
    failures: 0,
    retry_at: 0,
    failing_since: 0,
    changed_at: write.nowMicros,
  };
  await tx
    .insertInto('webhooks')
    .values({
      uid: write.uid,
      registry_uid: write.registryUid,
      form: write.form,
      created_at: write.nowMicros,
      ...changing,
    })
    .onConflict((conflict) => conflict.column('uid').doUpdateSet(changing))
    .execute();
}

/**
 * Moves a webhook to where the registry's streams stand now: it hears of nothing that is over. What happens until the transaction ends
 * it is told at once: whoever else looks at that does not see the webhook yet.
 */
export async function skipToHead(
  tx: Transaction,
  jobs: Pick<Jobs, 'add'>,
  uid: string,
  registryUid: string,
): Promise<void> {
  for (const { stream, incarnation, seq } of await streamsOf(tx, registryUid))
    await tx
      .insertInto('webhook_cursors')
      .values({ webhook_uid: uid, stream, incarnation, seq, part: 0 })
      .onConflict((conflict) => conflict.columns(['webhook_uid', 'stream']).doUpdateSet({ incarnation, seq, part: 0 }))
      .execute();
  await planDelivery(tx, jobs, uid);
}

export async function findWebhook(queries: Queries, uid: string): Promise<WebhookRow | undefined> {
  return await queries.selectFrom('webhooks').selectAll().where('uid', '=', uid).executeTakeFirst();
}

/** Whether the webhook is there, and keeps it from being removed before the transaction ends: what is written of it then leaves with it. */
export async function holdWebhook(kind: Database['kind'], tx: Transaction, uid: string): Promise<boolean> {
  const query = tx.selectFrom('webhooks').select('uid').where('uid', '=', uid);
  return (await lockedForKeyShare(kind, query).executeTakeFirst()) !== undefined;
}

/** Whether a webhook still is as it was read. */
export async function isUnchanged(queries: Queries, { uid, changed_at }: WebhookRow): Promise<boolean> {
  const row = await queries.selectFrom('webhooks').select('changed_at').where('uid', '=', uid).executeTakeFirst();
  return row?.changed_at === changed_at;
}

export async function listEnabled(queries: Queries, registryUid: string): Promise<WebhookRow[]> {
  return await queries
    .selectFrom('webhooks')
    .selectAll()
    .where('registry_uid', '=', registryUid)
    .where('is_enabled', '=', 1)
    .orderBy('uid')
    .execute();
}

/** Removes a webhook with all that hangs on it; first itself, so that whoever holds it is waited for. */
export async function removeWebhook(tx: Transaction, uid: string): Promise<void> {
  await tx.deleteFrom('webhooks').where('uid', '=', uid).execute();
  await tx.deleteFrom('webhook_deliveries').where('webhook_uid', '=', uid).execute();
  await tx.deleteFrom('webhook_cursors').where('webhook_uid', '=', uid).execute();
}

/** One webhook after the other is made in a registry, so that a limit holds. */
export async function lockRegistry(kind: Database['kind'], tx: Transaction, registryUid: string): Promise<void> {
  const query = tx.selectFrom('registries').select('uid').where('uid', '=', registryUid);
  await lockedForUpdate(kind, query).execute();
}

/** Where the webhook is to go on in each stream of its registry that it is behind in. */
export async function cursorsBehind(queries: Queries, uid: string, registryUid: string): Promise<WebhookCursor[]> {
  const heads = await streamsOf(queries, registryUid);
  const rows = await queries.selectFrom('webhook_cursors').selectAll().where('webhook_uid', '=', uid).execute();
  return heads.flatMap((head): WebhookCursor[] => {
    const row = rows.find(({ stream }) => stream === head.stream);
    // A stream that began after the webhook was made.
    if (row === undefined) return [{ ...head, seq: 0, part: 0 }];
    const { stream, incarnation, seq, part } = row;
    return incarnation === head.incarnation && seq >= head.seq ? [] : [{ stream, incarnation, seq, part }];
  });
}

/** Moves the cursor of a webhook that is held; false when it was moved by somebody else meanwhile. */
export async function moveCursor(
  tx: Transaction,
  uid: string,
  from: WebhookCursor,
  to: WebhookCursor,
): Promise<boolean> {
  const { stream, incarnation, seq, part } = to;
  const moved = await tx
    .insertInto('webhook_cursors')
    .values({ webhook_uid: uid, stream, incarnation, seq, part })
    .onConflict((conflict) =>
      conflict
        .columns(['webhook_uid', 'stream'])
        .doUpdateSet({ incarnation, seq, part })
        .where('webhook_cursors.incarnation', '=', from.incarnation)
        .where('webhook_cursors.seq', '=', from.seq)
        .where('webhook_cursors.part', '=', from.part),
    )
    .returning('seq')
    .executeTakeFirst();
  return moved !== undefined;
}

/**
 * Moves webhooks that were told everything before a batch, and want nothing of it, past the batch. They are named: one that is
 * enabled meanwhile, as its receiver has agreed only now, is still to be told.
 */
export async function passOver(
  tx: Transaction,
  batch: { readonly stream: string; readonly incarnation: string; readonly first: number; readonly last: number },
  uids: readonly string[],
): Promise<void> {
  if (uids.length === 0) return;
  const { stream, incarnation, first, last } = batch;
  await tx
    .updateTable('webhook_cursors')
    .set({ seq: last, part: 0 })
    .where('stream', '=', stream)
    .where('seq', '=', first - 1)
    .where('incarnation', '=', incarnation)
    .where('part', '=', 0)
    .where('webhook_uid', 'in', uids)
    .execute();
}

/** Has a webhook told what it is behind with, whether or not anything happens again: it was disabled until now. */
export async function planDelivery(tx: Transaction, jobs: Pick<Jobs, 'add'>, webhookUid: string): Promise<void> {
  await jobs.add(tx, { kind: deliverJob, key: webhookUid, payload: { webhookUid } });
}

/** Has a run that waits for its next attempt begin now: the webhook was changed. */
export async function hastenDelivery(tx: Transaction, uid: string, nowMicros: number): Promise<void> {
  await tx
    .updateTable('jobs')
    .set({ run_at: nowMicros })
    .where('kind', '=', deliverJob)
    .where('key', '=', uid)
    .where('state', '=', 'waiting')
    .where('run_at', '>', nowMicros)
    .execute();
}

/** Those of the webhooks for which a run waits. */
export async function plannedDeliveries(queries: Queries, uids: readonly string[]): Promise<string[]> {
  if (uids.length === 0) return [];
  const rows = await queries
    .selectFrom('jobs')
    .select('key')
    .where('kind', '=', deliverJob)
    .where('key', 'in', uids)
    .where('state', '=', 'waiting')
    .execute();
  return rows.map(({ key }) => key);
}

/** How the last attempt went; all is 0 after one that succeeded. False when the webhook is not any more what was tried. */
export async function noteFailures(
  tx: Transaction,
  { uid, changed_at }: WebhookRow,
  state: { readonly failures: number; readonly retryAtMicros: number; readonly sinceMicros: number },
): Promise<boolean> {
  const noted = await tx
    .updateTable('webhooks')
    .set({ failures: state.failures, retry_at: state.retryAtMicros, failing_since: state.sinceMicros })
    .where('uid', '=', uid)
    .where('changed_at', '=', changed_at)
    .returning('uid')
    .executeTakeFirst();
  return noted !== undefined;
}

/** The streams of a registry, one for each region that wrote to it. */
export async function streamsOf(queries: Queries, registryUid: string): Promise<Cursor[]> {
  const start = `registry/${registryUid}/`;
  return await queries
    .selectFrom('journal_heads')
    .select(['stream', 'incarnation', 'seq'])
    .where('stream', '>=', start)
    // '0' is the character after '/'.
    .where('stream', '<', `${start.slice(0, -1)}0`)
    .orderBy('stream')
    .execute();
}
