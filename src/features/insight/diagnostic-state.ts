import { z } from 'zod';
import type { DiagnosticCursor } from './diagnostic-store.ts';

/** How a setting's sending stands, as its row has it. */
export type DiagnosticState = z.infer<typeof stateSchema>;

const refusalSchema = z.object({
  /** `placeOf` the batch. */
  place: z.string(),
  /** Its end: while a line of it is refused it stays the same batch. */
  lastSeq: z.int(),
  /** How many of its lines are behind us, sent or given up. */
  taken: z.int().default(0),
  sinceMicros: z.int(),
});
const stateSchema = z.object({
  error: z.string().default(''),
  /** The batch of which its destination does not take a line. */
  refusal: refusalSchema.optional(),
  /** Lines that were given up, ever. */
  droppedLines: z.int().default(0),
  /** When the last of them was. */
  droppedAtMicros: z.int().default(0),
});

/** So long a line is offered to a destination that refuses it; those that follow within as long are given up at once. */
export const refusedForMicros = 24 * 3_600 * 1_000_000;

export function parseDiagnosticState(text: string): DiagnosticState {
  return stateSchema.parse(text.startsWith('{') ? JSON.parse(text) : { error: text });
}

/** The batch that begins behind a cursor. */
export function placeOf({ source, stream, incarnation, seq }: DiagnosticCursor): string {
  return [source, stream, incarnation, seq].join(' ');
}

/** The refusal in the batch behind the cursor, if that is the one. */
export function refusalAt({ refusal }: DiagnosticState, cursor: DiagnosticCursor): DiagnosticState['refusal'] {
  return refusal?.place === placeOf(cursor) ? refusal : undefined;
}
