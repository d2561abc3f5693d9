import type { Insertable, Selectable } from 'kysely';
import { z } from 'zod';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { imageDependenciesSchema, outputImageSchema, platformSchema } from '../../wire/builds/run-work.ts';
import { type Run, type RunStatus, runStatuses } from './run.ts';

export type RunRow = Selectable<Schema['runs']>;

/** What is shown of a run; its order and its secrets are much more. */
const shownColumns = [
  ...(['registry_uid', 'run_id', 'number', 'status', 'run_type', 'facts', 'result', 'is_archived'] as const),
  ...(['created_at', 'changed_at', 'started_at', 'finished_at'] as const),
] as const;
export type ShownRow = Pick<RunRow, (typeof shownColumns)[number]>;

/** Uids of the tokens that its attempts were given. */
export function tokensOf({ tokens }: Pick<RunRow, 'tokens'>): readonly string[] {
  return z.array(z.string()).parse(JSON.parse(tokens));
}

const imageTriggerSchema = z.object({
  kind: z.literal('image'),
  id: z.string(),
  timestamp: z.string(),
  images: z.array(outputImageSchema),
});

const sourceTriggerSchema = z.object({
  kind: z.literal('source'),
  id: z.string(),
  eventType: z.enum(['commit', 'pullrequest']),
  commitId: z.string(),
  pullRequestId: z.string().exactOptional(),
  repositoryUrl: z.string(),
  branchName: z.string(),
  providerType: z.string(),
});

const timerTriggerSchema = z.object({
  kind: z.literal('timer'),
  timerTriggerName: z.string(),
  scheduleOccurrence: z.string(),
});

/** What is shown of a run and never changes; no secret is in it. */
export const runFactsSchema = z.object({
  platforms: z.array(platformSchema).min(1),
  cpus: z.number(),
  agentPoolName: z.string().exactOptional(),
  taskName: z.string().exactOptional(),
  trigger: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('manual') }),
    sourceTriggerSchema,
    imageTriggerSchema,
    timerTriggerSchema,
  ]),
  updateTriggerToken: z.string().exactOptional(),
  customRegistries: z.array(z.string()),
});
export type RunFacts = z.infer<typeof runFactsSchema>;

/** What came of a run. */
export const runOutcomeSchema = z.object({
  images: z.array(outputImageSchema),
  dependencies: z.array(imageDependenciesSchema),
  errorMessage: z.string().exactOptional(),
});
export type RunOutcome = z.infer<typeof runOutcomeSchema>;

export const nothingYet: RunOutcome = { images: [], dependencies: [] };

const statusSchema = z.enum(runStatuses);
const typeSchema = z.enum(['QuickBuild', 'QuickRun', 'AutoBuild', 'AutoRun']);

/** A run as it is shown. */
export function runOf(row: ShownRow): Run {
  const { platforms, ...facts } = runFactsSchema.parse(JSON.parse(row.facts));
  const [first, ...others] = platforms;
  if (first === undefined) throw new Error(`the run ${row.run_id} has no platform`);
  return {
    ...facts,
    ...runOutcomeSchema.parse(JSON.parse(row.result)),
    platforms: [first, ...others],
    registryUid: row.registry_uid,
    runId: row.run_id,
    status: statusSchema.parse(row.status),
    runType: typeSchema.parse(row.run_type),
    isArchiveEnabled: row.is_archived === 1,
    createdAtMicros: row.created_at,
    changedAtMicros: row.changed_at,
    ...(row.started_at === null ? {} : { startedAtMicros: row.started_at }),
    ...(row.finished_at === null ? {} : { finishedAtMicros: row.finished_at }),
  };
}

export function isFinal(status: string): boolean {
  return !['Queued', 'Started', 'Running'].includes(status);
}

/** The next number of a registry's runs. */
export async function nextRunNumber(tx: Transaction, registryUid: string): Promise<number> {
  const { last } = await tx
    .insertInto('run_counters')
    .values({ registry_uid: registryUid, last: 1 })
    .onConflict((conflict) =>
      conflict.column('registry_uid').doUpdateSet((at) => ({ last: at('run_counters.last', '+', 1) })),
    )
    .returning('last')
    .executeTakeFirstOrThrow();
  return last;
}

/** False when a run with the same key is there already. */
export async function insertRun(tx: Transaction, row: Insertable<Schema['runs']>): Promise<boolean> {
  const inserted = await tx
    .insertInto('runs')
    .values(row)
    .onConflict((conflict) => conflict.columns(['registry_uid', 'once_key']).doNothing())
    .returning('uid')
    .executeTakeFirst();
  return inserted !== undefined;
}

export async function findRun(queries: Queries, registryUid: string, runId: string): Promise<RunRow | undefined> {
  return await queries
    .selectFrom('runs')
    .selectAll()
    .where('registry_uid', '=', registryUid)
    .where('run_id', '=', runId)
    .executeTakeFirst();
}

export async function findRunOfKey(queries: Queries, registryUid: string, key: string): Promise<RunRow | undefined> {
  return await queries
    .selectFrom('runs')
    .selectAll()
    .where('registry_uid', '=', registryUid)
    .where('once_key', '=', key)
    .executeTakeFirst();
}

/** Stays as it is until the commit. */
export async function lockedRun(tx: Transaction, kind: Database['kind'], uid: string): Promise<RunRow | undefined> {
  return await lockedForUpdate(kind, tx.selectFrom('runs').selectAll().where('uid', '=', uid)).executeTakeFirst();
}

/** Newest first, before a number. */
export async function listRunRows(
  queries: Queries,
  registryUid: string,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<ShownRow[]> {
  return await queries
    .selectFrom('runs')
    .select(shownColumns)
    .where('registry_uid', '=', registryUid)
    .where('number', '<', before)
    .orderBy('number', 'desc')
    .limit(limit)
    .execute();
}

export function statusOf(row: Pick<RunRow, 'status'>): RunStatus {
  return statusSchema.parse(row.status);
}
