import { hash } from 'node:crypto';
import { algorithmOf, digestOf, isDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseManifest } from '../../core/manifest.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { FoundContent } from './found-content.ts';
import { type InventoryLine, unpackLines } from './inventory-line.ts';
import { type KeptStream, keptInventory, lastWhole, type NoteSet } from './kept-inventory.ts';

/** Names of notes of which not all could be read; a registry of which not all was written yet. */
export type InventoryDoubts = { readonly unreadable: readonly string[]; readonly unfinished: readonly string[] };

/** Brings what a store says of itself into `found`. */
export async function readInventory(notes: StoreNotes, found: FoundContent): Promise<InventoryDoubts> {
  const unreadable: string[] = [];
  const unfinished: string[] = [];
  for (const [registryUid, streams] of await keptInventory(notes)) {
    const stream = await newestOf(notes, streams);
    if (stream === undefined) continue;
    const whole = lastWhole(stream);
    if (whole === undefined) unfinished.push(registryUid);
    // Notes of a run that was cut off are true as well, as far as they go.
    const sets = stream.sets.filter((set) => set === whole || whole === undefined || set.seq > whole.seq);
    for (const { name } of sets.flatMap((set) => set.notes)) {
      const lines = (await linesOf(notes, name)) ?? [];
      const right = lines.filter(isRight);
      if (right.length === 0 || right.length < lines.length) unreadable.push(name);
      found.apply(registryUid, right);
    }
  }
  return { unreadable, unfinished };
}

/** After a restore a stream begins anew: the incarnation counts that was written last, among those that are all there. */
async function newestOf(notes: StoreNotes, streams: readonly KeptStream[]): Promise<KeptStream | undefined> {
  const complete = streams.filter((stream) => lastWhole(stream) !== undefined);
  const dated = await Promise.all(
    (complete.length > 0 ? complete : streams).map(async (stream) => ({
      stream,
      at: await writtenAt(notes, stream.sets.at(-1)),
    })),
  );
  return dated.sort((a, b) => b.at - a.at)[0]?.stream;
}

async function writtenAt(notes: StoreNotes, set: NoteSet | undefined): Promise<number> {
  const [first] = set?.notes ?? [];
  const [line] = (first && (await linesOf(notes, first.name))) ?? [];
  return line?.kind === 'registry' ? line.writtenAt : 0;
}

async function linesOf(notes: StoreNotes, name: string): Promise<InventoryLine[] | undefined> {
  const bytes = await notes.get(name);
  if (bytes === undefined) return undefined;
  try {
    return await unpackLines(bytes);
  } catch {
    // Told by its name: the rest of the inventory counts.
    return undefined;
  }
}

/** A manifest whose bytes have another digest is not what was pushed, and one that cannot be understood would not have been taken. */
function isRight(line: InventoryLine): boolean {
  if (line.kind !== 'manifest') return true;
  if (!isDigest(line.digest)) return false;
  const algorithm = algorithmOf(line.digest);
  const body = Buffer.from(line.body, 'base64');
  return digestOf(algorithm, hash(algorithm, body, 'hex')) === line.digest && isManifest(body, line.mediaType);
}

function isManifest(body: Uint8Array, mediaType: string): boolean {
  try {
    parseManifest(body, mediaType);
    return true;
  } catch (error) {
    if (error instanceof BerthError) return false;
    throw error;
  }
}
