import type { Access } from './access-log.ts';

/** So many accesses are written before their second is over. */
const largeCount = 2_000;
/** In one batch: whoever looks for one line reads the whole batch that it is in. */
const batchCount = 250;
/** Characters kept at most; what would go beyond is dropped and counted. */
const maxLength = 16 * 1024 * 1024;
/** Characters of an access beside its variable texts. */
const baseLength = 400;

type Entry = { readonly atMicros: number; readonly access: Access; times: number };

export type Taken = {
  /** One JSON line for each entry, oldest first. */
  readonly lines: string;
  readonly firstAtMicros: number;
  readonly lastAtMicros: number;
  /** Accesses, repeated denials each counted. */
  readonly count: number;
};

/** Accesses that wait to be written. A denial that repeats an earlier one of the same address only raises its count. */
export class AccessBuffer {
  readonly #denials = new Map<string, Entry>();
  readonly #entries: Entry[] = [];
  #length = 0;
  #dropped = 0;

  get isLarge(): boolean {
    return this.#entries.length >= largeCount;
  }

  add(access: Access, atMicros: number): void {
    const repeated = access.kind === 'denial' ? this.#denials.get(denialKey(access)) : undefined;
    if (repeated !== undefined) repeated.times += 1;
    else if (this.#length + lengthOf(access) > maxLength) this.#dropped += 1;
    else this.#list({ access, atMicros, times: 1 });
  }

  /** Empties the buffer, up to one batch; undefined when there is nothing to write. */
  take(nowMicros: number): Taken | undefined {
    const entries = this.#entries.splice(0, batchCount);
    if (entries.length === 0 && this.#dropped === 0) return undefined;
    this.#denials.clear();
    this.#length -= entries.reduce((sum, entry) => sum + lengthOf(entry.access), 0);
    const lines = entries.map(lineOf);
    if (this.#dropped > 0) lines.push(`${JSON.stringify({ at: nowMicros, kind: 'dropped', times: this.#dropped })}\n`);
    this.#dropped = 0;
    return {
      lines: lines.join(''),
      firstAtMicros: entries.reduce((first, entry) => Math.min(first, entry.atMicros), nowMicros),
      lastAtMicros: nowMicros,
      count: entries.reduce((sum, entry) => sum + entry.times, 0),
    };
  }

  #list(entry: Entry): void {
    this.#entries.push(entry);
    this.#length += lengthOf(entry.access);
    if (entry.access.kind === 'denial') this.#denials.set(denialKey(entry.access), entry);
  }
}

/** What a guesser varies (identity, repository) is left out: the first denial is listed, the others are its count. */
function denialKey({ address, registryUid, status, reason }: Access): string {
  return JSON.stringify([address, registryUid, status, reason]);
}

function lengthOf({ identity, userAgent = '', repository = '', tag = '', reason = '' }: Access): number {
  return baseLength + identity.length + userAgent.length + repository.length + tag.length + reason.length;
}

function lineOf({ atMicros, access, times }: Entry): string {
  return `${JSON.stringify({ at: atMicros, ...access, ...(times > 1 && { times }) })}\n`;
}
