import type { Selectable } from 'kysely';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForShare } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { type AccessStream, listAccessStreams } from './access-streams.ts';
import type { LogCategory } from './diagnostic-setting.ts';
import type { DiagnosticState } from './diagnostic-state.ts';

export type DiagnosticRow = Selectable<Schema['diagnostic_settings']>;

export type DiagnosticWrite = {
  readonly uid: string;
  readonly registryUid: string;
  readonly categories: readonly LogCategory[];
  readonly destination: string;
  readonly nowMicros: number;
};

/** How far a setting was sent a stream. */
export type DiagnosticCursor = {
  readonly source: 'journal' | 'access';
  readonly stream: string;
  /** Empty for accesses. */
  readonly incarnation: string;
  readonly seq: number;
};

/** Writes a setting, new or changed; a changed one is tried at once. */
export async function writeDiagnostic(tx: Transaction, write: DiagnosticWrite): Promise<void> {
  const changing = {
    is_enabled: write.categories.length > 0 ? 1 : 0,
    categories: JSON.stringify(write.categories),
    destination: write.destination,
    failures: 0,
    retry_at: 0,
    last_error: '',
    changed_at: write.nowMicros,
  };
  await tx
    .insertInto('diagnostic_settings')
    .values({ uid: write.uid, registry_uid: write.registryUid, created_at: write.nowMicros, ...changing })
    .onConflict((conflict) => conflict.column('uid').doUpdateSet(changing))
    .execute();
}

/** Moves a setting to where all logs stand now: it is sent nothing that is over. */
export async function skipLogsToHead(tx: Transaction, uid: string, registryUid: string): Promise<void> {
  for (const head of await logHeads(tx, registryUid, await listAccessStreams(tx)))
    await tx
      .insertInto('diagnostic_cursors')
      .values({ setting_uid: uid, ...head })
      .onConflict((conflict) =>
        conflict.columns(['setting_uid', 'source', 'stream', 'incarnation']).doUpdateSet({ seq: head.seq }),
      )
      .execute();
}

export async function removeDiagnostic(tx: Transaction, uid: string): Promise<void> {
  // First the setting: a sender that moves a cursor has locked it.
  await tx.deleteFrom('diagnostic_settings').where('uid', '=', uid).execute();
  await tx.deleteFrom('diagnostic_cursors').where('setting_uid', '=', uid).execute();
}

export async function findDiagnostic(queries: Queries, uid: string): Promise<DiagnosticRow | undefined> {
  return await queries.selectFrom('diagnostic_settings').selectAll().where('uid', '=', uid).executeTakeFirst();
}

/** Those that may be sent something now. */
export async function listDueDiagnostics(queries: Queries, nowMicros: number): Promise<DiagnosticRow[]> {
  return await queries
    .selectFrom('diagnostic_settings')
    .selectAll()
    .where('is_enabled', '=', 1)
    .where('retry_at', '<=', nowMicros)
    .orderBy('uid')
    .execute();
}

/** Where the setting goes on in each stream that it is behind in. */
export async function logsBehind(
  queries: Queries,
  { uid, registry_uid }: DiagnosticRow,
  accesses: readonly AccessStream[],
): Promise<DiagnosticCursor[]> {
  const rows = await queries.selectFrom('diagnostic_cursors').selectAll().where('setting_uid', '=', uid).execute();
  const known = new Map(rows.map((row) => [`${row.source} ${row.stream} ${row.incarnation}`, row.seq]));
  return (await logHeads(queries, registry_uid, accesses)).flatMap((head) => {
    const seq = known.get(`${head.source} ${head.stream} ${head.incarnation}`) ?? 0;
    return seq < head.seq ? [{ ...head, seq }] : [];
  });
}

/** Moves a cursor; false when it was moved by somebody else, or the setting was changed or removed meanwhile. */
export async function moveLogCursor(
  database: Database,
  row: DiagnosticRow,
  from: DiagnosticCursor,
  seq: number,
): Promise<boolean> {
  const { source, stream, incarnation } = from;
  return await database.transaction(async (tx) => {
    // Whoever removes it waits, and then finds the cursor.
    const stands = tx.selectFrom('diagnostic_settings').select('changed_at').where('uid', '=', row.uid);
    const now = await lockedForShare(database.kind, stands).executeTakeFirst();
    if (now?.changed_at !== row.changed_at) return false;
    const moved = await tx
      .insertInto('diagnostic_cursors')
      .values({ setting_uid: row.uid, source, stream, incarnation, seq })
      .onConflict((conflict) =>
        conflict
          .columns(['setting_uid', 'source', 'stream', 'incarnation'])
          .doUpdateSet({ seq })
          .where('diagnostic_cursors.seq', '=', from.seq),
      )
      .returning('seq')
      .executeTakeFirst();
    return moved !== undefined;
  });
}

/** How the last attempt went, and when to look again; nothing of a setting that was changed meanwhile, which begins anew. */
export async function noteAttempt(
  database: Database,
  { uid, changed_at }: DiagnosticRow,
  attempt: { readonly failures: number; readonly retryAtMicros: number; readonly state: DiagnosticState },
): Promise<void> {
  const { failures, retryAtMicros: retry_at } = attempt;
  const last_error = JSON.stringify(attempt.state);
  await database.transaction((tx) =>
    tx
      .updateTable('diagnostic_settings')
      .set({ failures, retry_at, last_error })
      .where('uid', '=', uid)
      .where('changed_at', '=', changed_at)
      .execute(),
  );
}

/** The streams of a registry's journal, and all of the access log, which has every registry's. */
async function logHeads(
  queries: Queries,
  registryUid: string,
  accesses: readonly AccessStream[],
): Promise<DiagnosticCursor[]> {
  const start = `registry/${registryUid}/`;
  const journal = await queries
    .selectFrom('journal_heads')
    .select(['stream', 'incarnation', 'seq'])
    .where('stream', '>=', start)
    // '0' is the character after '/'.
    .where('stream', '<', `${start.slice(0, -1)}0`)
    // A sender stops at the first that its destination refuses: it is to be the same each time.
    .orderBy('stream')
    .orderBy('incarnation')
    .execute();
  return [
    ...journal.map((head) => ({ source: 'journal', ...head }) as const),
    ...accesses.map((head) => ({ source: 'access', incarnation: '', ...head }) as const),
  ];
}
