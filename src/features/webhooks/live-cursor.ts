import { z } from 'zod';
import type { Cursor } from '../../platform/journal/journal.ts';

const cursorSchema = z.array(z.tuple([z.string().max(200), z.string().max(100), z.int().min(0)])).max(100);

/** Where a follower of a registry stands, in each of its streams. */
export type LiveCursor = ReadonlyMap<string, Cursor>;

/** As a follower keeps it: the id of the last event it saw. */
export function liveCursorText(cursor: LiveCursor): string {
  const places = [...cursor.values()].map(({ stream, incarnation, seq }) => [stream, incarnation, seq]);
  return Buffer.from(JSON.stringify(places)).toString('base64url');
}

/** Undefined for a text that is none of the registry. */
export function parseLiveCursor(text: string, registryUid: string): LiveCursor | undefined {
  const places = cursorSchema.safeParse(parse(Buffer.from(text, 'base64url').toString())).data;
  if (places === undefined || !places.every(([stream]) => stream.startsWith(`registry/${registryUid}/`)))
    return undefined;
  return new Map(places.map(([stream, incarnation, seq]) => [stream, { stream, incarnation, seq }]));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not a cursor: the schema says so.
    return undefined;
  }
}
