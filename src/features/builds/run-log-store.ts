import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { RunRow } from './run-store.ts';

/** How a run's row says where its log is. */
export type LogState = Pick<RunRow, 'log_size' | 'is_log_after_return'>;

/** Adds bytes to the kept log of a locked run; the caller writes the state that it answers into the run's row. */
export async function appendLogBytes(
  tx: Transaction,
  row: Pick<RunRow, 'uid' | 'log_size'>,
  bytes: Uint8Array,
): Promise<Pick<LogState, 'log_size'>> {
  if (bytes.length === 0) return { log_size: row.log_size };
  await tx.insertInto('run_log_chunks').values({ run_uid: row.uid, offset: row.log_size, bytes }).execute();
  return { log_size: row.log_size + bytes.length };
}

/** Adds whole lines that the server has to say. A line that an agent had begun ends before them. */
export async function appendOwnLines(
  tx: Transaction,
  row: Pick<RunRow, 'uid' | 'log_size'>,
  lines: readonly string[],
): Promise<LogState> {
  const begun = row.log_size > 0 && !(await endsWithLine(tx, row));
  const text = `${begun ? '\r\n' : ''}${lines.map((line) => `${line}\r\n`).join('')}`;
  return { ...(await appendLogBytes(tx, row, Buffer.from(text))), is_log_after_return: 0 };
}

async function endsWithLine(tx: Transaction, { uid }: Pick<RunRow, 'uid'>): Promise<boolean> {
  const last = await tx
    .selectFrom('run_log_chunks')
    .select('bytes')
    .where('run_uid', '=', uid)
    .orderBy('offset', 'desc')
    .limit(1)
    .executeTakeFirst();
  return last?.bytes.at(-1) === 10;
}

/** The chunks from the one that holds `start` on, in order, with their offsets. */
export async function logChunks(
  queries: Queries,
  runUid: string,
  { start, limit }: { readonly start: number; readonly limit: number },
): Promise<{ readonly offset: number; readonly bytes: Uint8Array }[]> {
  const before = queries
    .selectFrom('run_log_chunks')
    .select((select) => select.fn.max('offset').as('offset'))
    .where('run_uid', '=', runUid)
    .where('offset', '<=', start);
  const first = (await before.executeTakeFirst())?.offset ?? 0;
  return await queries
    .selectFrom('run_log_chunks')
    .select(['offset', 'bytes'])
    .where('run_uid', '=', runUid)
    .where('offset', '>=', first)
    .orderBy('offset')
    .limit(limit)
    .execute();
}
