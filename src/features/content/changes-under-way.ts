import { sql } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';

/** Changes take milliseconds; one that hangs holds up nobody for longer than this. */
const patienceMs = 30_000;
const pauseMs = 5;

/**
 * Resolves when every change of content that is under way now, in any process, has ended. What was committed before is then
 * what all others go by: those that read it too early are over. Each holds the gate of its repository to its end; SQLite has one
 * writer at a time. Throws `busy` when one does not end.
 */
export async function changesUnderWayEnded({ read, kind }: Database, clock: Clock): Promise<void> {
  if (kind === 'sqlite') return;
  const held = async () => {
    const { rows } = await sql<{ readonly holder: string }>`
      select distinct virtualtransaction || ' ' || pid as holder from pg_locks
      where locktype = 'advisory' and granted
        and database = (select oid from pg_database where datname = current_database())`.execute(read);
    return rows.map(({ holder }) => holder);
  };
  const endMs = clock.monotonicMs() + patienceMs;
  let left = new Set(await held());
  while (left.size > 0) {
    if (clock.monotonicMs() > endMs) throw new BerthError('busy');
    await clock.sleep(pauseMs);
    left = left.intersection(new Set(await held()));
  }
}
