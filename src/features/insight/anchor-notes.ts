import { z } from 'zod';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { CheckpointRow } from './audit-statement.ts';

/*
 * <store>/notes/
 * ├── audit-checkpoint.<number>.<hash>   checkpoints as they were signed; the last of them is the one of the name
 * └── audit-accepted.<number>.<hash>     the same, once an owner accepted that the database has them no longer
 */

/** A place in the chain of checkpoints: its number, and what the next one has as `previous`. */
export type ChainPlace = { readonly number: number; readonly hash: string };

const keptPrefix = 'audit-checkpoint.';
const acceptedPrefix = 'audit-accepted.';
const endOfName = /^(\d{10,16})\.([0-9a-f]{64})$/;

const rowSchema = z.object({ number: z.int(), key_uid: z.string(), statement: z.string(), signature: z.string() });

/** Where the chain was when the store was told of it, in order of their numbers. */
export async function listAnchors(notes: StoreNotes): Promise<ChainPlace[]> {
  return await placesIn(notes, keptPrefix);
}

/** Those that an owner accepted to be gone. */
export async function listAccepted(notes: StoreNotes): Promise<ChainPlace[]> {
  return await placesIn(notes, acceptedPrefix);
}

async function placesIn(notes: StoreNotes, prefix: string): Promise<ChainPlace[]> {
  const places: ChainPlace[] = [];
  for await (const { name } of notes.list(prefix)) {
    const [, number, hash] = endOfName.exec(name.slice(prefix.length)) ?? [];
    if (number !== undefined && hash !== undefined) places.push({ number: Number(number), hash });
  }
  return places.sort((a, b) => a.number - b.number || (a.hash < b.hash ? -1 : 1));
}

/** What is in it is never written anew: the name says what it is. */
export async function writeAnchor(notes: StoreNotes, place: ChainPlace, rows: readonly CheckpointRow[]): Promise<void> {
  await notes.put(nameOf(keptPrefix, place), Buffer.from(rows.map((row) => JSON.stringify(row)).join('\n')));
}

/** The checkpoints that the store was given with it; none where they cannot be read: its name still counts. */
export async function readAnchor(notes: StoreNotes, place: ChainPlace): Promise<CheckpointRow[]> {
  const bytes = await notes.get(nameOf(keptPrefix, place));
  const lines = Buffer.from(bytes ?? []).toString();
  try {
    return lines.split('\n').map((line) => rowSchema.parse(JSON.parse(line)));
  } catch {
    // Somebody changed it: told by its number alone.
    return [];
  }
}

export async function removeAnchors(notes: StoreNotes, places: readonly ChainPlace[]): Promise<void> {
  if (places.length > 0) await notes.removeMany(places.map((place) => nameOf(keptPrefix, place)));
}

/** Keeps it under another name, where nothing is expected of the database any longer. */
export async function setAnchorAside(notes: StoreNotes, place: ChainPlace): Promise<void> {
  const bytes = await notes.get(nameOf(keptPrefix, place));
  if (bytes !== undefined) await notes.put(nameOf(acceptedPrefix, place), bytes);
  await removeAnchors(notes, [place]);
}

/** Brings what one store was told to another, and what an owner accepted of it, before the database goes there too. */
export async function copyAnchors(from: StoreNotes, to: StoreNotes): Promise<void> {
  for (const prefix of [keptPrefix, acceptedPrefix]) {
    const present = new Set((await placesIn(to, prefix)).map((place) => nameOf(prefix, place)));
    for (const place of await placesIn(from, prefix)) {
      const name = nameOf(prefix, place);
      const bytes = present.has(name) ? undefined : await from.get(name);
      if (bytes !== undefined) await to.put(name, bytes);
    }
  }
}

function nameOf(prefix: string, { number, hash }: ChainPlace): string {
  return `${prefix}${String(number).padStart(10, '0')}.${hash}`;
}
