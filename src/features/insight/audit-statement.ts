import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { SignedText } from './audit-keys.ts';

/** `previous` of the first statement. */
export const firstPrevious = '0'.repeat(64);

const statementSchema = z.strictObject({
  number: z.int(),
  atMicros: z.int(),
  source: z.enum(['journal', 'access']),
  stream: z.string(),
  incarnation: z.string(),
  seq: z.int(),
  hash: z.string(),
  /** Batches from `firstSeq` to `seq` left the database: for this file of the archive, or for good where `name` is empty. */
  segment: z.strictObject({ firstSeq: z.int(), name: z.string(), sha256: z.string() }).optional(),
  /** SHA-256 of the statement before; zeros for the first. */
  previous: z.string(),
});
/** What is signed of a stream. */
export type Statement = z.infer<typeof statementSchema>;

const gapSchema = z.strictObject({
  /** Of the last that left. */
  number: z.int(),
  atMicros: z.int(),
  /** SHA-256 of the last that left. */
  gap: z.strictObject({ firstNumber: z.int(), hash: z.string() }),
  /** SHA-256 of the statement before the first that left; zeros where there was none. */
  previous: z.string(),
});
/** What is signed in the place of statements, from `gap.firstNumber` to `number`, that newer ones made needless. */
export type Gap = z.infer<typeof gapSchema>;

/** A row of `audit_checkpoints`: a statement or a gap, as it was signed. */
export type CheckpointRow = SignedText & { readonly number: number };

/** A row of `audit_checkpoints` with its place among the statements: `hash` is what the next one has as `previous`. */
export type ChainLink = {
  readonly number: number;
  readonly firstNumber: number;
  readonly previous: string;
  readonly hash: string;
  /** Undefined for a gap. */
  readonly statement: Statement | undefined;
  /** Of its own text. */
  readonly atMicros: number;
};

/** Undefined for a text that is neither a statement nor a gap of the row's number. */
export function linkOf(row: Pick<CheckpointRow, 'number' | 'statement'>): ChainLink | undefined {
  const statement = parseStatement(row.statement);
  if (statement?.number === row.number) {
    const { number, previous, atMicros } = statement;
    return { number, firstNumber: number, previous, hash: hashOfStatement(row.statement), statement, atMicros };
  }
  const gap = parsed(gapSchema, row.statement);
  if (gap?.number !== row.number || gap.gap.firstNumber > gap.number) return undefined;
  const { number, previous, atMicros } = gap;
  return { number, ...gap.gap, previous, statement: undefined, atMicros };
}

export function parseStatement(text: string): Statement | undefined {
  return parsed(statementSchema, text);
}

export function hashOfStatement(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    // Not JSON: told as malformed.
    return undefined;
  }
}
