import { type Expression, type SqlBool, sql } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import { gateKey } from './repository-gate.ts';

/** Changes take milliseconds; one that hangs holds up nobody for longer than this. */
const patienceMs = 30_000;
const pauseMs = 5;

/**
 * Resolves when every change of content that is under way now, in any process, has ended: of one registry, or of all. What was
 * committed before is then what all others go by: those that read it too early are over. Each holds the gate of its repository
 * to its end; SQLite has one writer at a time. Throws `busy` when one does not end.
 */
export async function changesUnderWayEnded(
  { read, kind }: Database,
  clock: Clock,
  registryUid?: string,
): Promise<void> {
  if (kind === 'sqlite') return;
  const endMs = clock.monotonicMs() + patienceMs;
  let left = await holders(read, registryUid === undefined ? sql`true` : mayBeOf(registryUid));
  while (left.size > 0) {
    if (clock.monotonicMs() > endMs) throw new BerthError('busy');
    await clock.sleep(pauseMs);
    left = left.intersection(await holders(read, sql`true`));
  }
}

/** Transactions that hold a gate now. */
async function holders(queries: Queries, isLookedFor: Expression<SqlBool>): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ readonly holder: string }>`
    select distinct virtualtransaction || ' ' || pid as holder from pg_locks
    where locktype = 'advisory' and granted
      and database = (select oid from pg_database where datname = current_database())
      and ${isLookedFor}`.execute(queries);
  return new Set(rows.map(({ holder }) => holder));
}

/**
 * Every gate but those that are known to be another registry's: what a lock tells of its name is a hash, and a repository
 * that is being made has no row yet.
 */
function mayBeOf(registryUid: string): Expression<SqlBool> {
  return sql<boolean>`((classid::bigint << 32) | objid::bigint) not in (
    select ${gateKey(sql.ref('registry_uid'), sql.ref('name'))} from repositories where registry_uid <> ${registryUid}
    union all
    select ${gateKey(sql.ref('uid'), sql.lit(''))} from registries where uid <> ${registryUid})`;
}
