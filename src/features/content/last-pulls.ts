import { sql } from 'kysely';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForKeyShare } from '../../platform/database/locks.ts';
import type { Log } from '../../platform/log.ts';
import type { Place } from './place.ts';

export type LastPullsParts = { readonly database: Database; readonly clock: Clock; readonly log: Log };

/** Written so often, and when the process stops: a killed one loses so much. */
const flushMs = 60_000;
/** After so long a pull is written, whichever process answered it. */
export const pullsWrittenMs = flushMs + 5_000;
/** Distinct tags and manifests that wait; with more they are written at once. */
const manyWaiting = 20_000;
/** Rows of a statement: far below the parameter limits of both databases. */
const slice = 200;

type Asked = {
  readonly registryUid: string;
  readonly repository: string;
  readonly digest: string;
  /** Undefined for a manifest that was asked for by its digest. */
  readonly tag: string | undefined;
  atMicros: number;
};

/**
 * When tags and manifests were asked for last, by GET or HEAD: clients that have an image already only ask where its tag
 * points. Kept in memory and written together, each tag and manifest once however often it was pulled; the latest time wins.
 */
export class LastPulls {
  readonly #parts: LastPullsParts;
  readonly #stop = new AbortController();
  #waiting = new Map<string, Asked>();
  #timer: Promise<void> | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(parts: LastPullsParts) {
    this.#parts = parts;
  }

  /** Never waits and never throws. */
  note({ registryUid, repository }: Place, digest: string, tag: string | undefined): void {
    const key = `${registryUid} ${repository} ${digest} ${tag ?? ''}`;
    const atMicros = this.#parts.clock.nowMicros();
    const known = this.#waiting.get(key);
    if (known !== undefined) known.atMicros = atMicros;
    else this.#waiting.set(key, { registryUid, repository, digest, tag, atMicros });
    this.#timer ??= this.#flushLater();
    if (this.#waiting.size === manyWaiting) this.#flushInBackground();
  }

  /** Writes what waits. */
  async flush(): Promise<void> {
    const before = this.#flushing;
    this.#flushing = (async () => {
      await before.catch(() => {
        // Whoever began it was told.
      });
      await this.#write();
    })();
    await this.#flushing;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#timer;
    await this.flush();
  }

  async #flushLater(): Promise<void> {
    await this.#parts.clock.sleep(flushMs, this.#stop.signal).catch(() => {
      // Closing ends the wait; close flushes what is left.
    });
    this.#timer = undefined;
    if (!this.#stop.signal.aborted) this.#flushInBackground();
  }

  #flushInBackground(): void {
    this.flush().catch((error: unknown) => this.#parts.log.warn('last pulls cannot be written', { error }));
  }

  /** What cannot be written now waits again. */
  async #write(): Promise<void> {
    const taken = this.#waiting;
    this.#waiting = new Map();
    try {
      for (const [registryUid, ofRegistry] of Map.groupBy(taken.values(), (asked) => asked.registryUid))
        for (const [repository, asked] of Map.groupBy(ofRegistry, (each) => each.repository))
          await this.#writeRepository(registryUid, repository, asked);
    } catch (error) {
      if (this.#waiting.size < manyWaiting)
        for (const [key, asked] of taken) if (!this.#waiting.has(key)) this.#waiting.set(key, asked);
      throw error;
    }
  }

  async #writeRepository(registryUid: string, repository: string, asked: readonly Asked[]): Promise<void> {
    const { database } = this.#parts;
    const row = await database.read
      .selectFrom('repositories')
      .where('registry_uid', '=', registryUid)
      .where('name', '=', repository)
      .select('uid')
      .executeTakeFirst();
    if (row === undefined) return;
    const manifests = latest(asked.map(({ digest, atMicros }) => [digest, atMicros]));
    const tags = latest(asked.flatMap(({ tag, atMicros }) => (tag === undefined ? [] : [[tag, atMicros] as const])));
    for (const some of slices(manifests))
      await database.transaction(async (tx) => await writeManifests(tx, database.kind, row.uid, some));
    for (const some of slices(tags))
      await database.transaction(async (tx) => await writeTags(tx, database.kind, row.uid, some));
  }
}

/** Since when pulls are noted. */
export async function pullsSince(queries: Queries): Promise<number> {
  const row = await queries.selectFrom('walks').where('name', '=', 'pulls').select('changed_at').executeTakeFirst();
  return row?.changed_at ?? Number.MAX_SAFE_INTEGER;
}

/** When somebody asked for a manifest last, by its digest or a tag; or for this tag, wherever it pointed. 0 when nobody has. */
export async function lastPulled(
  queries: Queries,
  { repositoryUid, digest, tag }: { readonly repositoryUid: string; readonly digest: string; readonly tag?: string },
): Promise<number> {
  const ofManifest = await queries
    .selectFrom('manifest_pulls')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .select('pulled_at')
    .executeTakeFirst();
  if (tag === undefined) return ofManifest?.pulled_at ?? 0;
  const ofTag = await queries
    .selectFrom('tag_pulls')
    .where('repository_uid', '=', repositoryUid)
    .where('name', '=', tag)
    .select('pulled_at')
    .executeTakeFirst();
  return Math.max(ofManifest?.pulled_at ?? 0, ofTag?.pulled_at ?? 0);
}

type Pull = readonly [key: string, atMicros: number];

function latest(pulls: readonly Pull[]): readonly Pull[] {
  const times = new Map<string, number>();
  for (const [key, atMicros] of pulls) times.set(key, Math.max(times.get(key) ?? 0, atMicros));
  // One order for all who write them: nobody waits in a circle.
  return [...times].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Of manifests that are still there. */
async function writeManifests(
  tx: Transaction,
  kind: Database['kind'],
  repositoryUid: string,
  pulls: readonly Pull[],
): Promise<void> {
  const wanted = tx
    .selectFrom('manifests')
    .where('repository_uid', '=', repositoryUid)
    .where(
      'digest',
      'in',
      pulls.map(([digest]) => digest),
    )
    .orderBy('digest')
    .select('digest');
  const there = await lockedForKeyShare(kind, wanted).execute();
  const known = new Set<string>(there.map(({ digest }) => digest));
  const rows = pulls
    .filter(([digest]) => known.has(digest))
    .map(([digest, pulled_at]) => ({ repository_uid: repositoryUid, digest, pulled_at }));
  if (rows.length === 0) return;
  await tx
    .insertInto('manifest_pulls')
    .values(rows)
    .onConflict((conflict) =>
      conflict
        .columns(['repository_uid', 'digest'])
        .doUpdateSet({ pulled_at: (excluded) => excluded.ref('excluded.pulled_at') })
        .where(sql<boolean>`manifest_pulls.pulled_at < excluded.pulled_at`),
    )
    .execute();
}

/** Of tags that are still there. */
async function writeTags(
  tx: Transaction,
  kind: Database['kind'],
  repositoryUid: string,
  pulls: readonly Pull[],
): Promise<void> {
  const wanted = tx
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where(
      'name',
      'in',
      pulls.map(([name]) => name),
    )
    .orderBy('name')
    .select('name');
  const there = await lockedForKeyShare(kind, wanted).execute();
  const known = new Set<string>(there.map(({ name }) => name));
  const rows = pulls
    .filter(([name]) => known.has(name))
    .map(([name, pulled_at]) => ({ repository_uid: repositoryUid, name, pulled_at }));
  if (rows.length === 0) return;
  await tx
    .insertInto('tag_pulls')
    .values(rows)
    .onConflict((conflict) =>
      conflict
        .columns(['repository_uid', 'name'])
        .doUpdateSet({ pulled_at: (excluded) => excluded.ref('excluded.pulled_at') })
        .where(sql<boolean>`tag_pulls.pulled_at < excluded.pulled_at`),
    )
    .execute();
}

function* slices(pulls: readonly Pull[]): Generator<readonly Pull[]> {
  for (let start = 0; start < pulls.length; start += slice) yield pulls.slice(start, start + slice);
}
