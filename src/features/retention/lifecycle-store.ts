import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import { type LifecycleRuleBody, lifecycleRulesSchema } from '../../wire/admin/lifecycle-schema.ts';
import type { PurgeItem } from './take-selection.ts';
import { walkPosition } from './walk-store.ts';

/** Times are microseconds since 1970. */
export type LifecyclePolicy = {
  readonly rules: readonly LifecycleRuleBody[];
  /** From the beginning of one run to that of the next. */
  readonly everyMs: number;
  readonly nextRunAtMicros: number;
};

export type LifecycleRun = {
  readonly uid: string;
  readonly registryUid: string;
  readonly askedAtMicros: number;
  /** Undefined while it waits or goes on. */
  readonly endedAtMicros: number | undefined;
  readonly tags: number;
  readonly manifests: number;
  readonly freedBytes: number;
  readonly problem: string | undefined;
};

export type LifecycleItem = PurgeItem & { readonly seq: number };

export async function findPolicy(queries: Queries, registryUid: string): Promise<LifecyclePolicy | undefined> {
  const row = await queries
    .selectFrom('lifecycle_policies')
    .where('registry_uid', '=', registryUid)
    .select(['rules', 'every_ms', 'next_run_at'])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const rules = lifecycleRulesSchema.parse(JSON.parse(row.rules));
  return { rules, everyMs: row.every_ms, nextRunAtMicros: row.next_run_at };
}

/** No rules are no policy. */
export async function writePolicy(
  tx: Transaction,
  registryUid: string,
  { rules, everyMs, nextRunAtMicros }: LifecyclePolicy,
  nowMicros: number,
): Promise<void> {
  if (rules.length === 0) {
    await tx.deleteFrom('lifecycle_policies').where('registry_uid', '=', registryUid).execute();
    return;
  }
  const values = {
    rules: JSON.stringify(rules),
    every_ms: everyMs,
    next_run_at: nextRunAtMicros,
    changed_at: nowMicros,
  };
  await tx
    .insertInto('lifecycle_policies')
    .values({ registry_uid: registryUid, ...values })
    .onConflict((conflict) => conflict.column('registry_uid').doUpdateSet(values))
    .execute();
}

/** Registries whose next run is due. */
export async function duePolicies(
  queries: Queries,
  nowMicros: number,
): Promise<readonly { readonly registryUid: string; readonly nextRunAtMicros: number; readonly everyMs: number }[]> {
  return await queries
    .selectFrom('lifecycle_policies')
    .where('next_run_at', '<=', nowMicros)
    .select(['registry_uid as registryUid', 'next_run_at as nextRunAtMicros', 'every_ms as everyMs'])
    .execute();
}

/** False when somebody else has moved it. */
export async function moveNextRun(
  tx: Transaction,
  registryUid: string,
  times: { readonly from: number; readonly to: number },
): Promise<boolean> {
  const row = await tx
    .updateTable('lifecycle_policies')
    .set({ next_run_at: times.to })
    .where('registry_uid', '=', registryUid)
    .where('next_run_at', '=', times.from)
    .returning('registry_uid')
    .executeTakeFirst();
  return row !== undefined;
}

/** Adds a run unless one has not ended; answers the one that is open then. Throws `registryUnknown`. */
export async function openRun(tx: Transaction, kind: Database['kind'], run: LifecycleRun): Promise<LifecycleRun> {
  const open = await openRunOf(tx, kind, run.registryUid);
  if (open !== undefined) return open;
  await tx
    .insertInto('lifecycle_runs')
    .values({
      uid: run.uid,
      registry_uid: run.registryUid,
      asked_at: run.askedAtMicros,
      ended_at: null,
      tags: 0,
      manifests: 0,
      freed_bytes: 0,
      problem: null,
    })
    .execute();
  return run;
}

/** Ends the run of a registry that has not ended, if there is one. Throws `registryUnknown`. */
export async function endOpenRun(
  tx: Transaction,
  kind: Database['kind'],
  registryUid: string,
  end: RunEnd,
): Promise<void> {
  const open = await openRunOf(tx, kind, registryUid);
  if (open !== undefined) await endRun(tx, open, end);
}

/** Until the commit nobody opens another. Throws `registryUnknown`. */
async function openRunOf(
  tx: Transaction,
  kind: Database['kind'],
  registryUid: string,
): Promise<LifecycleRun | undefined> {
  const registry = tx.selectFrom('registries').where('uid', '=', registryUid).select('uid');
  if ((await lockedForUpdate(kind, registry).executeTakeFirst()) === undefined) throw new BerthError('registryUnknown');
  const open = await tx
    .selectFrom('lifecycle_runs')
    .where('registry_uid', '=', registryUid)
    .where('ended_at', 'is', null)
    .selectAll()
    .executeTakeFirst();
  return open === undefined ? undefined : runOf(open);
}

/** False for a run that has ended, or is gone; others wait until the commit before they end it. */
export async function holdOpenRun(tx: Transaction, kind: Database['kind'], uid: string): Promise<boolean> {
  const open = tx.selectFrom('lifecycle_runs').where('uid', '=', uid).where('ended_at', 'is', null).select('uid');
  return (await lockedForUpdate(kind, open).executeTakeFirst()) !== undefined;
}

/** Newest first. */
export async function runsOf(queries: Queries, registryUid: string): Promise<LifecycleRun[]> {
  const rows = await queries
    .selectFrom('lifecycle_runs')
    .where('registry_uid', '=', registryUid)
    .orderBy('asked_at', 'desc')
    .selectAll()
    .execute();
  return rows.map(runOf);
}

export async function findRun(queries: Queries, registryUid: string, uid: string): Promise<LifecycleRun | undefined> {
  const row = await queries
    .selectFrom('lifecycle_runs')
    .where('registry_uid', '=', registryUid)
    .where('uid', '=', uid)
    .selectAll()
    .executeTakeFirst();
  return row === undefined ? undefined : runOf(row);
}

/** Those that have not ended, oldest first. */
export async function openRuns(queries: Queries): Promise<LifecycleRun[]> {
  const rows = await queries
    .selectFrom('lifecycle_runs')
    .where('ended_at', 'is', null)
    .orderBy('asked_at')
    .selectAll()
    .execute();
  return rows.map(runOf);
}

export async function itemsOf(
  queries: Queries,
  runUid: string,
  after: number,
  limit: number,
): Promise<readonly LifecycleItem[]> {
  const rows = await queries
    .selectFrom('lifecycle_items')
    .where('run_uid', '=', runUid)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .select(['seq', 'item'])
    .execute();
  return rows.map(({ seq, item }) => {
    const { tag, rule, why, ...same } = itemSchema.parse(JSON.parse(item));
    return { ...same, tag: tag ?? undefined, rule: rule ?? undefined, why: why ?? undefined, seq };
  });
}

/** Adds items to a run that is held open, and to its totals. */
export async function addItems(tx: Transaction, runUid: string, items: readonly PurgeItem[]): Promise<void> {
  if (items.length === 0) return;
  const afterSeq = await lastSeq(tx, runUid);
  const rows = items.map((item, index) => {
    const text = JSON.stringify({ ...item, tag: item.tag ?? null, rule: item.rule ?? null, why: item.why ?? null });
    return { run_uid: runUid, seq: afterSeq + 1 + index, item: text };
  });
  await tx.insertInto('lifecycle_items').values(rows).execute();
  const deleted = items.filter(({ outcome }) => outcome === 'deleted');
  const tags = deleted.filter(({ tag }) => tag !== undefined).length;
  const bytes = deleted.reduce((sum, { freedBytes }) => sum + freedBytes, 0);
  await tx
    .updateTable('lifecycle_runs')
    .set((set) => ({
      tags: set('tags', '+', tags),
      manifests: set('manifests', '+', deleted.length - tags),
      freed_bytes: set('freed_bytes', '+', bytes),
    }))
    .where('uid', '=', runUid)
    .execute();
}

async function lastSeq(queries: Queries, runUid: string): Promise<number> {
  const row = await queries
    .selectFrom('lifecycle_items')
    .where('run_uid', '=', runUid)
    .select((select) => select.fn.max<number | null>('seq').as('seq'))
    .executeTakeFirst();
  return row?.seq ?? 0;
}

/** How far a run has come. */
export type LifecycleWalk = {
  readonly run: string;
  /** The last repository that is done. */
  readonly after: string;
  /** Repositories that could not be looked at to their end. */
  readonly failed: readonly string[];
};

export async function findWalk(queries: Queries, { uid, registryUid }: LifecycleRun): Promise<LifecycleWalk> {
  const { data } = walkSchema.safeParse(await walkPosition(queries, lifecycleWalkName(registryUid)));
  return data?.run === uid ? data : { run: uid, after: '', failed: [] };
}

export function lifecycleWalkName(registryUid: string): string {
  return `lifecycle ${registryUid}`;
}

export type RunEnd = { readonly nowMicros: number; readonly problem: string | undefined };

export async function endRun(tx: Transaction, { uid, registryUid }: LifecycleRun, end: RunEnd): Promise<void> {
  await tx
    .updateTable('lifecycle_runs')
    .set({ ended_at: end.nowMicros, problem: end.problem ?? null })
    .where('uid', '=', uid)
    .execute();
  await tx.deleteFrom('walks').where('name', '=', lifecycleWalkName(registryUid)).execute();
}

/** Removes at most `limit` items of a run, and the run with the last of them; false when it is gone. */
export async function forgetSomeOfRun(tx: Transaction, uid: string, limit: number): Promise<boolean> {
  const some = tx.selectFrom('lifecycle_items').where('run_uid', '=', uid).orderBy('seq').select('seq').limit(limit);
  const rows = await tx
    .deleteFrom('lifecycle_items')
    .where('run_uid', '=', uid)
    .where('seq', 'in', some)
    .returning('seq')
    .execute();
  if (rows.length === limit) return true;
  await tx.deleteFrom('lifecycle_runs').where('uid', '=', uid).execute();
  return false;
}

const walkSchema = z.object({ run: z.string(), after: z.string(), failed: z.array(z.string()) });

const itemSchema = z.object({
  repository: z.string(),
  tag: z.string().nullable(),
  digest: z.string(),
  reason: z.string(),
  rule: z.string().nullable(),
  outcome: z.enum(['deleted', 'wouldDelete', 'changed', 'skipped', 'kept']),
  why: z.string().nullable(),
  freedBytes: z.number(),
});

type Row = {
  readonly uid: string;
  readonly registry_uid: string;
  readonly asked_at: number;
  readonly ended_at: number | null;
  readonly tags: number;
  readonly manifests: number;
  readonly freed_bytes: number;
  readonly problem: string | null;
};

function runOf(row: Row): LifecycleRun {
  return {
    uid: row.uid,
    registryUid: row.registry_uid,
    askedAtMicros: row.asked_at,
    endedAtMicros: row.ended_at ?? undefined,
    tags: row.tags,
    manifests: row.manifests,
    freedBytes: row.freed_bytes,
    problem: row.problem ?? undefined,
  };
}
