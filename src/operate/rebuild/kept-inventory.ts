import type { NoteEntry, StoreNotes } from '../../platform/blob-store/store-notes.ts';
import { type InventoryNote, inventoryPrefix, parseInventoryName } from './inventory-name.ts';

/** Notes of one moment. */
export type NoteSet = {
  readonly kind: InventoryNote['kind'];
  readonly seq: number;
  /** In order of their parts. */
  readonly notes: readonly NoteEntry[];
  /** All parts are there. */
  readonly isWhole: boolean;
};

/** What a store holds of one incarnation of a registry's stream, in order of `seq`. */
export type KeptStream = { readonly incarnation: string; readonly sets: readonly NoteSet[] };

/** What a store holds, by registry. */
export async function keptInventory(notes: StoreNotes): Promise<ReadonlyMap<string, readonly KeptStream[]>> {
  const found: (NoteEntry & InventoryNote)[] = [];
  for await (const entry of notes.list(inventoryPrefix)) {
    const note = parseInventoryName(entry.name);
    if (note !== undefined) found.push({ ...entry, ...note });
  }
  const byRegistry = Map.groupBy(found, (note) => note.registryUid);
  return new Map([...byRegistry].map(([registryUid, ofRegistry]) => [registryUid, streamsOf(ofRegistry)]));
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
  const bySet = Map.groupBy(found, ({ seq, kind }) => `${seq}.${kind}`);
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
  return [{ kind: first.kind, seq: first.seq, notes, isWhole }];
}
