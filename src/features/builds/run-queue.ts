import { sql } from 'kysely';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdateSkipLocked } from '../../platform/database/locks.ts';
import type { AgentPool } from './agent-tokens.ts';
import { hasRoom } from './pool-capacity.ts';
import type { RunRow } from './run-store.ts';

/** Of a registry, that an agent leaves to others with one look. */
const maxLeft = 100;

/**
 * The run that an agent of a pool takes next, locked: the oldest of the registry that has the fewest at work, so that one
 * registry with many runs keeps no other waiting, but for those that it leaves to others. None while a named pool has as many at
 * work as it may.
 */
export async function nextQueued(
  tx: Transaction,
  kind: Database['kind'],
  pool: AgentPool,
  isLeft: (row: RunRow) => boolean,
): Promise<RunRow | undefined> {
  const registries = await waitingRegistries(tx, pool);
  if (registries.length === 0 || !(await hasRoom(tx, kind, pool))) return undefined;
  for (const registryUid of registries) {
    const left: number[] = [];
    while (left.length < maxLeft) {
      const oldest = tx
        .selectFrom('runs')
        .selectAll()
        .where('pool_key', '=', pool.key)
        .where('registry_uid', '=', registryUid)
        .where('finished_at', 'is', null)
        .where('status', '=', 'Queued')
        .where('number', '>', left.at(-1) ?? 0)
        .orderBy('number')
        .limit(1);
      const row = await lockedForUpdateSkipLocked(kind, oldest).executeTakeFirst();
      if (row === undefined) break;
      if (!isLeft(row)) return row;
      left.push(row.number);
    }
  }
  return undefined;
}

/** Whether a run waits for an agent of the pool that every registry has. */
export async function isSharedRunQueued(queries: Queries): Promise<boolean> {
  return await isRunQueued(queries, { registryUid: '', key: '' });
}

/** Whether a run waits for an agent of a pool; it may still have no room for one. */
export async function isRunQueued(queries: Queries, { registryUid, key }: AgentPool): Promise<boolean> {
  const row = await queries
    .selectFrom('runs')
    .select('uid')
    .where('pool_key', '=', key)
    .$if(registryUid !== '', (query) => query.where('registry_uid', '=', registryUid))
    .where('finished_at', 'is', null)
    .where('status', '=', 'Queued')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

async function waitingRegistries(tx: Transaction, { registryUid, key }: AgentPool): Promise<string[]> {
  const rows = await tx
    .selectFrom('runs')
    .select(['registry_uid as registryUid'])
    .select(sql<number>`sum(case when status = 'Queued' then 1 else 0 end)`.as('waiting'))
    .where('pool_key', '=', key)
    .$if(registryUid !== '', (query) => query.where('registry_uid', '=', registryUid))
    .where('finished_at', 'is', null)
    .groupBy('registry_uid')
    .having(sql<boolean>`sum(case when status = 'Queued' then 1 else 0 end) > 0`)
    .orderBy(sql`sum(case when status = 'Queued' then 0 else 1 end)`)
    .orderBy(sql`min(created_at)`)
    .limit(100)
    .execute();
  return rows.map((row) => row.registryUid);
}
