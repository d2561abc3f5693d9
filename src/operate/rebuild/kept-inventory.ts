import type { NoteEntry, StoreNotes } from '../../platform/blob-store/store-notes.ts';
import { type InventoryNote, inventoryPrefix, parseInventoryName, registryPrefix } from './inventory-name.ts';

/** Notes of one moment. */
export type NoteSet = {
  readonly kind: InventoryNote['kind'];
  readonly seq: number;
  readonly sku: InventoryNote['sku'];
  /** In order of their parts. */
  readonly notes: readonly NoteEntry[];
  /** All parts are there. */
  readonly isWhole: boolean;
};

/** What a store holds of one incarnation of a registry's stream, in order of `seq`. */
export type KeptStream = { readonly incarnation: string; readonly sets: readonly NoteSet[] };

/** What a store holds, by registry. */
export type KeptInventory = ReadonlyMap<string, readonly KeptStream[]>;

export async function keptInventory(notes: StoreNotes): Promise<KeptInventory> {
  const byRegistry = Map.groupBy(await listed(notes, inventoryPrefix), (note) => note.registryUid);
  return new Map([...byRegistry].map(([registryUid, found]) => [registryUid, streamsOf(found)]));
}

/** Of each of these registries, one question to the store for each. */
export async function keptOf(notes: StoreNotes, registryUids: readonly string[]): Promise<KeptInventory> {
  const kept = new Map<string, readonly KeptStream[]>();
  for (const uid of registryUids) kept.set(uid, streamsOf(await listed(notes, registryPrefix(uid))));
  return kept;
}

export function notesOf(streams: readonly KeptStream[]): NoteEntry[] {
  return streams.flatMap(({ sets }) => sets.flatMap((set) => set.notes));
}

async function listed(notes: StoreNotes, prefix: string): Promise<Found> {
  const found: (NoteEntry & InventoryNote)[] = [];
  for await (const entry of notes.list(prefix)) {
    const note = parseInventoryName(entry.name);
    if (note !== undefined) found.push({ ...entry, ...note });
  }
  return found;
}

/** The newest set that names everything and is all there. */
export function lastWhole({ sets }: KeptStream): NoteSet | undefined {
  return sets.findLast((set) => set.kind === 'whole' && set.isWhole);
}

type Found = readonly (NoteEntry & InventoryNote)[];

function streamsOf(found: Found): KeptStream[] {
  const byIncarnation = Map.groupBy(found, (note) => note.incarnation);
  return [...byIncarnation].map(([incarnation, notes]) => ({ incarnation, sets: setsOf(notes) }));
}

function setsOf(found: Found): NoteSet[] {
  const bySet = Map.groupBy(found, ({ seq, kind, sku }) => `${seq}.${kind}.${sku}`);
  return [...bySet.values()].flatMap(setOf).sort((a, b) => a.seq - b.seq || (a.kind === 'changes' ? -1 : 1));
}

/** A run that was cut off may have left other parts under the numbers of a later one: what they say was true as well. */
function setOf(found: Found): NoteSet[] {
  const notes = [...found].sort((a, b) => a.part - b.part || Number(a.isLast) - Number(b.isLast));
  const [first] = notes;
  if (first === undefined) return [];
  const end = notes.find((note) => note.isLast);
  const parts = new Set(notes.map((note) => note.part));
  const isWhole =
    end !== undefined && Array.from({ length: end.part }, (_, part) => part).every((part) => parts.has(part));
  return [{ kind: first.kind, seq: first.seq, sku: first.sku, notes, isWhole }];
}
