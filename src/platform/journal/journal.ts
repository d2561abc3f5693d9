import type { Transaction } from '../database/database.ts';

/** A change to be told; the journal adds sequence, time and hash. */
export type NewEvent = {
  /** `streamOf(registryUid, region)`, or the tenant's. */
  readonly stream: string;
  /** `manifest.pushed`, `tag.deleted`, ...: resource, then what happened. */
  readonly type: string;
  /** Version of this type's `data`. */
  readonly version: number;
  /** Who did it, as the audit shows it. */
  readonly actor: string;
  /** The new state of what the event names: enough for another region to apply it. */
  readonly data: Readonly<Record<string, unknown>>;
};

/** Where a consumer stands; only comparable within one stream and incarnation. */
export type Cursor = { readonly stream: string; readonly incarnation: string; readonly seq: number };

export type JournalEvent = NewEvent & Cursor & { readonly occurredAtMicros: number; readonly hash: string };

export type Append = (event: NewEvent) => void;

/** Says what an error of the transaction means to its caller, also one that its commit throws. */
export type Explain = (meaning: (error: unknown) => unknown) => void;

/** The change journal: one event per change, written in the change's own transaction (house plan, idea 2). */
export type Journal = {
  /**
   * A database transaction whose appended events are written as its last statements: each stream's head row is locked just
   * before commit, in stream order, so sequence is commit order. At most 500 events. Consumers are woken after the commit.
   */
  readonly transaction: <T>(work: (tx: Transaction, append: Append, explain: Explain) => Promise<T>) => Promise<T>;
  /** Events after the cursor, oldest first. */
  readonly after: (cursor: Cursor, limit: number) => Promise<JournalEvent[]>;
  /** The cursor before the first event of a stream's present incarnation; one without events has none yet (''). */
  readonly start: (stream: string) => Promise<Cursor>;
  /** Where the stream stands now. */
  readonly head: (stream: string) => Promise<Cursor>;
  /** Calls `wake` after commits of this process that appended, and after NOTIFY from others. Returns how to stop. */
  readonly onAppend: (wake: (streams: readonly string[]) => void) => () => void;
};

export function streamOf(registryUid: string, region: string): string {
  return `registry/${registryUid}/${region}`;
}

/** Undefined for streams of tenants. */
export function registryUidOf(stream: string): string | undefined {
  return /^registry\/([^/]+)\//.exec(stream)?.[1];
}

export function tenantStreamOf(tenantUid: string): string {
  return `tenant/${tenantUid}`;
}
