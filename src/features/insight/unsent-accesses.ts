import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { Log } from '../../platform/log.ts';
import { listAccessStreams } from './access-streams.ts';
import { listDueDiagnostics, logsBehind } from './diagnostic-store.ts';

export type UnsentParts = { readonly database: Database; readonly clock: Clock; readonly log: Log };

/** So long accesses wait, behind their retention, for a destination that does not take them. */
const longestWaitMs = 30 * 86_400_000;

/**
 * How long accesses are kept, in milliseconds, at any moment of a run that begins now: as long as `retentionMs`, and what a
 * diagnostic setting has not been sent for up to 30 days more.
 */
export async function retentionWithUnsent(
  { database, clock, log }: UnsentParts,
  retentionMs: number,
): Promise<() => number> {
  const oldestMicros = await oldestUnsent(database.read);
  const ageMs = () => Math.ceil((clock.nowMicros() - oldestMicros) / 1_000);
  if (ageMs() > retentionMs + longestWaitMs)
    log.warn('accesses that were not sent leave the database', { oldestMicros });
  return () => Math.max(retentionMs, Math.min(ageMs(), retentionMs + longestWaitMs));
}

/** When what waits longest for a diagnostic setting happened; never, where nothing waits. */
async function oldestUnsent(queries: Queries): Promise<number> {
  let oldestMicros = Number.POSITIVE_INFINITY;
  const accesses = await listAccessStreams(queries);
  for (const row of await listDueDiagnostics(queries, Number.MAX_SAFE_INTEGER))
    for (const { source, stream, seq } of await logsBehind(queries, row, accesses)) {
      if (source !== 'access') continue;
      const next = await queries
        .selectFrom('access_batches')
        .select('last_at')
        .where('stream', '=', stream)
        .where('seq', '>', seq)
        .orderBy('seq')
        .limit(1)
        .executeTakeFirst();
      oldestMicros = Math.min(oldestMicros, next?.last_at ?? oldestMicros);
    }
  return oldestMicros;
}
