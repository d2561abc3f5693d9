import { isDeepStrictEqual } from 'node:util';
import type { NoteEntry, StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import { type Journal, registryUidOf, streamOf } from '../../platform/journal/journal.ts';
import { type InventoryLine, packLines } from './inventory-line.ts';
import { type InventoryNote, type InventorySku, inventoryName } from './inventory-name.ts';
import { everyLine, touchedLines } from './inventory-rows.ts';
import {
  type KeptInventory,
  type KeptStream,
  keptInventory,
  keptOf,
  lastWhole,
  type NoteSet,
  notesOf,
} from './kept-inventory.ts';

export type InventoryParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly notes: StoreNotes;
  readonly clock: Clock;
  /** Region of origin of what is written here. */
  readonly region: string;
  /** Changes may weigh so much more than the whole before all is written anew; bytes. */
  readonly spareWeight?: number;
};

/** What was pushed within this may be unknown to a rebuild. */
const everyMs = 10_000;
const leaseMs = 30_000;
/** All of the store is looked at this often although nothing changed. */
const lookEveryMs = 600_000;
/** An object store answers with so many names at once. */
const namesAtOnce = 1000;
/** Of lines, before they are compressed. */
const partBytes = 4 * 1024 * 1024;
const eventsAtOnce = 500;
/** A small note costs as much to keep as so many bytes of a large one. */
const smallestWeight = 100_000;
const defaultSpareWeight = 10_000_000;
/** The incarnation of a stream that has no event yet. */
const noIncarnation = 'none';

type Standing = { readonly uid: string; readonly name: string; readonly sku: InventorySku } & Head;
/** What a run of the job asks of whoever runs it. */
type Run = Pick<JobRun, 'signal' | 'renew'>;
type Head = { readonly incarnation: string; readonly seq: number };

/**
 * Keeps in the blob store itself what the store holds: registries, repositories, manifests, tags. `berth rebuild` reads it where
 * the database is lost. Each note says how things are now that events up to `seq` are there, so of two statements about a thing
 * the one with the higher `seq` is true: whatever changed it later has an event of its own, and a later note. Two processes may
 * therefore write at once, and nothing is remembered elsewhere: what the store holds tells how far it is.
 */
export class Inventory {
  readonly #parts: InventoryParts;
  /** How each registry stood when this process last came to its end: what stands so still is not asked of the store. */
  readonly #done = new Map<string, Standing>();
  /** Registries that are gone, whose notes this process has looked for: another may have told of them and end before it removes those. */
  readonly #gone = new Set<string>();
  /** When all of the store was looked at last, and how many names there were. */
  #looked = { atMs: Number.NEGATIVE_INFINITY, names: 0 };

  constructor(parts: InventoryParts) {
    this.#parts = parts;
  }

  jobKind(): JobKind {
    return { kind: 'content.inventory', run: (job) => this.bringUpToDate(job), leaseMs, maxAttempts: 10, everyMs };
  }

  async bringUpToDate(job: Run): Promise<void> {
    const { standings, gone } = await this.#standings();
    const left = gone.filter((uid) => !this.#gone.has(uid));
    const uids = new Set([...standings.keys(), ...this.#done.keys(), ...left]);
    const changed = [...uids].filter(
      (uid) => left.includes(uid) || !isDeepStrictEqual(this.#done.get(uid), standings.get(uid)),
    );
    const kept = await this.#kept(changed, uids);
    for (const [uid, streams] of kept) {
      if (job.signal.aborted) return;
      const standing = standings.get(uid);
      if (standing === undefined) await this.#remove(notesOf(streams));
      else await this.#follow(standing, streams, job);
      if (standing !== undefined) this.#done.set(uid, standing);
      else {
        this.#done.delete(uid);
        this.#gone.add(uid);
      }
    }
  }

  /** What the store holds of registries that changed, in as few questions as that takes; now and then of all. */
  async #kept(changed: readonly string[], all: Iterable<string>): Promise<KeptInventory> {
    const { clock, notes } = this.#parts;
    const atMs = clock.monotonicMs();
    const isDue = atMs >= this.#looked.atMs + lookEveryMs;
    if (!isDue && changed.length <= Math.max(1, this.#looked.names / namesAtOnce)) return await keptOf(notes, changed);
    const kept = await keptInventory(notes);
    this.#looked = { atMs, names: notesOf([...kept.values()].flat()).length };
    return new Map([...[...all].map((uid) => [uid, []] as const), ...kept]);
  }

  /** Every registry by its uid, and where its stream stands; and the uids of those that have had a stream. */
  async #standings(): Promise<{
    readonly standings: ReadonlyMap<string, Standing>;
    readonly gone: readonly string[];
  }> {
    const { database, region } = this.#parts;
    const registries = await database.read
      .selectFrom('registries')
      .select(['uid', 'name', 'sku'])
      .orderBy('uid')
      .execute();
    const heads = await database.read.selectFrom('journal_heads').select(['stream', 'incarnation', 'seq']).execute();
    const byStream = new Map(heads.map((head) => [head.stream, head]));
    const standings = new Map<string, Standing>();
    for (const registry of registries) {
      const { incarnation, seq } = byStream.get(streamOf(registry.uid, region)) ?? {
        incarnation: noIncarnation,
        seq: 0,
      };
      standings.set(registry.uid, { ...registry, incarnation, seq });
    }
    const had = heads.flatMap(({ stream }) => registryUidOf(stream) ?? []);
    return { standings, gone: had.filter((uid) => !standings.has(uid)) };
  }

  async #follow(standing: Standing, kept: readonly KeptStream[], job: Run): Promise<void> {
    const stream = kept.find(({ incarnation }) => incarnation === standing.incarnation);
    const whole = stream && lastWhole(stream);
    if (stream === undefined || whole === undefined) return await this.#writeWhole(standing, kept, job);
    const last = stream.sets.findLast((set) => set.isWhole) ?? whole;
    const soldAs = last.sku ?? this.#done.get(standing.uid)?.sku ?? standing.sku;
    // No event of the registry's own stream tells of it.
    if (soldAs !== standing.sku) return await this.#writeWhole(standing, kept, job);
    if (last.seq >= standing.seq) return;
    const weight = stream.sets.filter((set) => set.seq > whole.seq).reduce((total, set) => total + weightOf(set), 0);
    const { spareWeight = defaultSpareWeight } = this.#parts;
    if (weight > bytesOf(whole) + spareWeight) await this.#writeWhole(standing, kept, job);
    else await this.#writeChanges(standing, last.seq, job);
  }

  async #writeWhole(standing: Standing, kept: readonly KeptStream[], job: Run): Promise<void> {
    const { database } = this.#parts;
    await this.#write(standing, 'whole', everyLine(database.read, standing.uid), job);
    // Only now: until then the older ones are what is known.
    const isNew = ({ kind, seq, sku }: NoteSet) =>
      seq > standing.seq || (seq === standing.seq && kind === 'whole' && sku === standing.sku);
    const older = kept.map(({ incarnation, sets }) => ({
      incarnation,
      sets: incarnation === standing.incarnation ? sets.filter((set) => !isNew(set)) : sets,
    }));
    await this.#remove(notesOf(older));
  }

  async #writeChanges(standing: Standing, from: number, job: Run): Promise<void> {
    const { database, journal, region } = this.#parts;
    const stream = streamOf(standing.uid, region);
    for (let seq = from; ; ) {
      const events = await journal.after({ stream, incarnation: standing.incarnation, seq }, eventsAtOnce);
      const last = events.at(-1);
      if (last === undefined) return;
      seq = last.seq;
      await this.#write({ ...standing, seq }, 'changes', touchedLines(database.read, standing.uid, events), job);
      if (seq >= standing.seq) return;
    }
  }

  async #write(
    standing: Standing,
    kind: InventoryNote['kind'],
    lines: AsyncIterable<InventoryLine>,
    job: Run,
  ): Promise<void> {
    const { clock, notes } = this.#parts;
    const { uid: registryUid, name, sku, incarnation, seq } = standing;
    const first: InventoryLine = { kind: 'registry', uid: registryUid, name, sku, writtenAt: clock.nowMicros() };
    let waiting = [JSON.stringify(first)];
    let waitingBytes = 0;
    let part = 0;
    const put = async (isLast: boolean) => {
      await job.renew();
      const place = { registryUid, incarnation, kind, seq, sku, part, isLast };
      await notes.put(inventoryName(place), await packLines(waiting));
      part += 1;
      waiting = [];
      waitingBytes = 0;
    };
    for await (const line of lines) {
      job.signal.throwIfAborted();
      if (waitingBytes >= partBytes) await put(false);
      const text = JSON.stringify(line);
      waiting.push(text);
      waitingBytes += text.length;
    }
    await put(true);
  }

  async #remove(entries: readonly NoteEntry[]): Promise<void> {
    if (entries.length > 0) await this.#parts.notes.removeMany(entries.map((entry) => entry.name));
  }
}

function bytesOf({ notes }: NoteSet): number {
  return notes.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

function weightOf(set: NoteSet): number {
  return Math.max(bytesOf(set), smallestWeight);
}
