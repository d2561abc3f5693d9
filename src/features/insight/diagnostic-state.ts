import { z } from 'zod';
import type { DiagnosticCursor } from './diagnostic-store.ts';

/** How a setting's sending stands, as its row has it. */
export type DiagnosticState = z.infer<typeof stateSchema>;

const refusalSchema = z.object({
  /** `placeOf` the batch. */
  place: z.string(),
  /** Its end: while it is refused it stays the same batch. */
  lastSeq: z.int(),
  sinceMicros: z.int(),
});
const stateSchema = z.object({
  error: z.string().default(''),
  /** The batch that its destination does not take. */
  refusal: refusalSchema.optional(),
  /** Lines that were given up, ever. */
  droppedLines: z.int().default(0),
});

/** So long a batch is offered to a destination that refuses it. */
export const refusedForMicros = 24 * 3_600 * 1_000_000;

export function parseDiagnosticState(text: string): DiagnosticState {
  if (!text.startsWith('{')) return { error: text, droppedLines: 0 };
  return stateSchema.parse(JSON.parse(text));
}

/** The batch that begins behind a cursor. */
export function placeOf({ source, stream, incarnation, seq }: DiagnosticCursor): string {
  return [source, stream, incarnation, seq].join(' ');
}

/** The refusal of the batch behind the cursor, if that is the one. */
export function refusalAt({ refusal }: DiagnosticState, cursor: DiagnosticCursor): DiagnosticState['refusal'] {
  return refusal?.place === placeOf(cursor) ? refusal : undefined;
}
