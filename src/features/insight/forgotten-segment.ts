import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { NewSegment, SegmentRow } from './audit-archive.ts';
import { isSigned, openAuditKeys } from './audit-keys.ts';
import { parseStatement, type Statement } from './audit-statement.ts';

/**
 * A segment together with the one before it, whose row is removed, where both left for good: there is no file to name, so one row and one
 * statement say it, however long the stream goes on. Only what was signed is taken in: who can write rows would else have us sign theirs.
 */
export async function withForgotten(
  tx: Transaction,
  sealer: Sealer,
  last: SegmentRow | undefined,
  segment: NewSegment,
): Promise<NewSegment> {
  if (last === undefined || last.name !== '' || segment.name !== '') return segment;
  if (!(await wasSigned(tx, sealer, last))) return segment;
  await takeOut(tx, [last]);
  const { first_seq, first_at, previous_hash } = last;
  return { ...segment, first_seq, first_at, previous_hash };
}

/** Joined in one transaction. */
const joinedAtOnce = 100;

/**
 * The first segments of a stream that left for good one after the other, each signed, oldest first: older programs wrote a row for each.
 * Undefined where no two of them follow each other.
 */
export async function forgottenInPieces(
  tx: Transaction,
  sealer: Sealer,
  segments: readonly SegmentRow[],
): Promise<readonly [SegmentRow, ...SegmentRow[]] | undefined> {
  let run: [SegmentRow, ...SegmentRow[]] | undefined;
  for (const row of segments) {
    const isForgotten = row.name === '' && row.is_removed === 1 && (await wasSigned(tx, sealer, row));
    const last = run?.at(-1);
    if (run?.length === joinedAtOnce) return run;
    if (run !== undefined && isForgotten && last?.last_hash === row.previous_hash) run.push(row);
    else if (run !== undefined && run.length > 1) return run;
    else run = isForgotten ? [row] : undefined;
  }
  return run !== undefined && run.length > 1 ? run : undefined;
}

/** Throws when one was joined with others meanwhile. */
export async function takeOut(tx: Transaction, rows: readonly SegmentRow[]): Promise<void> {
  for (const { number, first_seq } of rows) {
    const { numDeletedRows } = await tx
      .deleteFrom('audit_segments')
      .where('number', '=', number)
      .where('first_seq', '=', first_seq)
      .executeTakeFirstOrThrow();
    if (numDeletedRows !== 1n) throw new Error('the segments of a log are joined by another process too');
  }
}

async function wasSigned(queries: Queries, sealer: Sealer, row: SegmentRow): Promise<boolean> {
  const keys = await openAuditKeys(queries, sealer);
  const rows = await queries
    .selectFrom('audit_checkpoints')
    .select(['key_uid', 'statement', 'signature'])
    .where('source', '=', 'access')
    .where('stream', '=', row.stream)
    .where('incarnation', '=', '')
    .where('seq', '=', row.last_seq)
    .execute();
  return rows.some((each) => isSigned(keys, each) && isRemovalOf(row, parseStatement(each.statement)));
}

/** Whether a statement says that what is in the segment left the database. */
export function isRemovalOf(row: SegmentRow, statement: Statement | undefined): boolean {
  const segment = statement?.segment;
  return (
    statement?.stream === row.stream &&
    statement.seq === row.last_seq &&
    statement.hash === row.last_hash &&
    segment?.firstSeq === row.first_seq &&
    segment.name === row.name &&
    segment.sha256 === row.sha256
  );
}
