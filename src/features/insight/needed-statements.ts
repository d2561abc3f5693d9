import { streamKeyOf } from './audit-checkpoints.ts';
import type { Statement } from './audit-statement.ts';

/** What newer statements say of a stream. */
type Newer = {
  /** Up to which event or batch one of them signs it. */
  seq: number;
  /** Up to which batch it left the database: the statement of that, and the file it went to, stand for what was signed before. */
  removedSeq: number;
  /** The batches that left for good by one of them. */
  forgotten: { readonly firstSeq: number; readonly seq: number };
};

/** Where a stream was written anew is found to so many events or batches. */
const precision = 100;

/**
 * Which statements are needed, asked of each in turn, the newest first. Needed are: of what the database has, the last statement in each
 * hundred events or batches; of what left it, the statement of each file, and of what has no file one for all that came before.
 */
export class NeededStatements {
  readonly #newer = new Map<string, Newer>();

  isNeeded(statement: Statement): boolean {
    const key = streamKeyOf(statement);
    const newer: Newer = this.#newer.get(key) ?? { seq: 0, removedSeq: 0, forgotten: { firstSeq: 1, seq: 0 } };
    this.#newer.set(key, newer);
    return statement.segment === undefined ? isNeededOfKept(statement, newer) : isNeededOfRemoved(statement, newer);
  }
}

function isNeededOfKept({ seq }: Statement, newer: Newer): boolean {
  const isSaid = newer.seq >= seq && hundredOf(newer.seq) === hundredOf(seq);
  if (isSaid || seq <= newer.removedSeq) return false;
  newer.seq = seq;
  return true;
}

function isNeededOfRemoved({ seq, segment }: Statement, newer: Newer): boolean {
  newer.removedSeq = Math.max(newer.removedSeq, seq);
  if (segment === undefined || segment.name !== '') return true;
  const { firstSeq } = segment;
  if (newer.forgotten.firstSeq <= firstSeq && newer.forgotten.seq >= seq) return false;
  newer.forgotten = { firstSeq, seq };
  return true;
}

function hundredOf(seq: number): number {
  return Math.ceil(seq / precision);
}
