import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from './canonical-json.ts';
import type { Cursor, JournalEvent, NewEvent } from './journal.ts';

/** `previous` of the first event of a stream. */
export const chainStart = '0'.repeat(64);

const eventSchema = z.strictObject({
  stream: z.string(),
  incarnation: z.string(),
  seq: z.int(),
  type: z.string(),
  version: z.int(),
  actor: z.string(),
  occurredAtMicros: z.int(),
  data: z.record(z.string(), z.unknown()),
  /** Hash of the event before. */
  previous: z.string(),
});

export type EventRow = {
  readonly stream: string;
  readonly incarnation: string;
  readonly seq: number;
  readonly type: string;
  readonly occurred_at: number;
  readonly hash: string;
  readonly bytes: Uint8Array;
};

/** The row of an event that follows the one whose hash is `previous`. */
export function eventRow(event: NewEvent, at: Cursor, occurredAtMicros: number, previous: string): EventRow {
  const { type, version, actor, data } = event;
  const { stream, incarnation, seq } = at;
  const bytes = Buffer.from(
    canonicalJson({ stream, incarnation, seq, type, version, actor, occurredAtMicros, data, previous }),
  );
  return { stream, incarnation, seq, type, occurred_at: occurredAtMicros, hash: hashOf(bytes), bytes };
}

/**
 * The same bytes around what is known once the head is locked: what comes before incarnation,
 * time, hash of the event before and seq, and what comes after. Keys of canonical JSON are in the order of their names.
 */
export function eventFrame({ stream, type, version, actor, data }: NewEvent): readonly [front: string, back: string] {
  const [front, back] = [canonicalJson({ actor, data }), canonicalJson({ stream, type, version })];
  return [`${front.slice(0, -1)},`, `,${back.slice(1)}`];
}

/** Reads an event from the bytes that were hashed. Throws when they are not an event. */
export function eventOf(row: Pick<EventRow, 'hash' | 'bytes'>): JournalEvent & { readonly previous: string } {
  return { ...eventSchema.parse(JSON.parse(Buffer.from(row.bytes).toString('utf8'))), hash: row.hash };
}

/** Lower-case hex SHA-256. */
export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
