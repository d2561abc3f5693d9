import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { RepositoryName } from '../../core/repository-name.ts';
import { BlobMissing, type ByteRange, type StorageKey } from '../../platform/blob-store/blob-store.ts';
import type { Database } from '../../platform/database/database.ts';
import { hotQuery, hotRows, hotStatement } from '../../platform/database/hot-query.ts';
import { lockedForKeyShare } from '../../platform/database/locks.ts';
import type { Authority } from '../access/authority.ts';
import { lockBits, requireOn } from './attributes.ts';
import { freshGraceMicros, linkBlob, markDamaged } from './blob-commit.ts';
import { BlockMismatch, blockBytes, checkedBlocks } from './block-checksums.ts';
import type { ContentParts } from './content-parts.ts';
import { type Filling, type HeldBlob, HotBlobs } from './hot-blobs.ts';
import type { Place } from './place.ts';
import { releaseBlobs } from './released-blobs.ts';
import { ensureRepository, fromRepository } from './repository-store.ts';
import { storageLimitOf } from './storage-use.ts';

/** A blob that a repository shows. */
export type StoredBlob = {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly storageKey: StorageKey;
  readonly checksums: Uint8Array;
  readonly registryUid: string;
};

export type BlobParts = ContentParts & {
  /** How long a blob that nothing references is kept at least, from the last time a client was told it is here. */
  readonly graceMs: number;
  /** Whether reads check each block before sending it. */
  readonly isChecked: boolean;
  /** Memory for blobs that are pulled again and again, in bytes. */
  readonly hotBytes: number;
};

/** Blobs of repositories: look, read, mount, remove. A repository shows a blob only through its own link. */
export class Blobs {
  readonly #parts: BlobParts;
  readonly #find: ReturnType<typeof createFind>;
  readonly #hot: HotBlobs;

  constructor(parts: BlobParts) {
    this.#parts = parts;
    this.#hot = new HotBlobs(parts.hotBytes);
    this.#find = createFind(parts.database);
  }

  /** Throws `blobUnknown`, also for content of another repository; `contentLocked`; `blobDamaged` where a read found wrong bytes. */
  async find(place: Place, digest: Digest, authority: Authority): Promise<StoredBlob> {
    const row = await this.#find(this.#parts.database.read, {
      registry: place.registryUid,
      repository: place.repository,
      digest,
    });
    if (row === undefined) throw new BerthError('registryUnknown');
    await authority.confirm(row.epoch);
    const { storageKey, sizeBytes, state, checksums, graceUntil, repositoryLocks } = row;
    if (storageKey === null || sizeBytes === null || checksums === null || graceUntil === null) {
      throw new BerthError('blobUnknown', { digest });
    }
    requireOn({ repository: place.repository }, repositoryLocks ?? 0, 'readEnabled');
    if (state === 'damaged') throw new BerthError('blobDamaged', { digest });
    const blob = { digest, sizeBytes, storageKey, checksums, registryUid: place.registryUid };
    await this.#renewGrace(place, blob, graceUntil);
    return blob;
  }

  /**
   * The bytes of a blob, each block checked before it is passed on; a chunk is good until the next one is asked for. A wrong,
   * short or missing block marks the blob damaged and throws `blobDamaged`; a new push of the same digest repairs it.
   */
  async *read(blob: StoredBlob, range: ByteRange = { start: 0, end: blob.sizeBytes }): AsyncGenerator<Uint8Array> {
    if (range.end <= range.start) return;
    const held = this.#hot.hold(blob.storageKey);
    if (held !== undefined) return yield* passed(held, range);
    const isWhole = range.end - range.start === blob.sizeBytes;
    const filling = isWhole ? this.#hot.fill(blob.storageKey, blob.sizeBytes) : undefined;
    try {
      const bytes = this.#parts.isChecked
        ? this.#readChecked(blob, range)
        : this.#parts.store.read(blob.storageKey, range, { mayReuse: true });
      yield* filling === undefined ? bytes : filled(bytes, filling);
    } catch (cause) {
      if (!(cause instanceof BlockMismatch || cause instanceof BlobMissing)) throw cause;
      await this.#markDamaged(blob);
      throw new BerthError('blobDamaged', { digest: blob.digest }, { cause });
    }
  }

  /**
   * Shows a blob of repository `from`, or of any repository the caller may read, in another one.
   * False when there is none that the caller may pull: the client then uploads the bytes. Throws `insufficientScope` where
   * only the token keeps it from pulling `from`, as Docker's registry does.
   */
  async mount(place: Place, authority: Authority, digest: Digest, from: RepositoryName | undefined): Promise<boolean> {
    if (from !== undefined) authority.requireToken('pull', from);
    if (from !== undefined && !authority.allows('pull', from)) return false;
    const { change, database, clock, ids } = this.#parts;
    return await change(place, authority, async (context) => {
      const { tx } = context;
      requireOn({ repository: place.repository }, context.repositoryLocks, 'writeEnabled');
      let sources = tx
        .selectFrom('blob_links as l')
        .innerJoin('repositories as r', 'r.uid', 'l.repository_uid')
        .innerJoin('blobs as b', (join) =>
          join.onRef('b.registry_uid', '=', 'r.registry_uid').onRef('b.digest', '=', 'l.digest'),
        )
        .where('r.registry_uid', '=', place.registryUid)
        .where('l.digest', '=', digest)
        .where('b.state', '=', 'ready')
        .where(sql<number>`(r.locks & ${sql.lit(lockBits.readEnabled)})`, '=', 0)
        .select(['r.name']);
      if (from !== undefined) sources = sources.where('r.name', '=', from);
      const found = await lockedForKeyShare(database.kind, sources, 'b').limit(mountSources).execute();
      if (!found.some((source) => authority.allows('pull', source.name))) return false;
      const nowMicros = clock.nowMicros();
      const { uid } = await ensureRepository(context, place, { uid: ids.uid(), nowMicros });
      const limitBytes = storageLimitOf(context.registry, this.#parts.storageLimits);
      // As pushes do: the blob, then the registry's count of what is in use.
      const graceUntilMicros = nowMicros + this.#parts.graceMs * 1000;
      await tx
        .updateTable('blobs')
        .set({ grace_until: graceUntilMicros })
        .where('registry_uid', '=', place.registryUid)
        .where('digest', '=', digest)
        .where('grace_until', '<', freshGraceMicros({ nowMicros, graceUntilMicros }))
        .execute();
      await linkBlob(tx, { registryUid: place.registryUid, repositoryUid: uid, nowMicros, limitBytes }, digest);
      return true;
    });
  }

  /**
   * Takes a blob out of a repository. Throws `blobUnknown`, and `blobReferenced` while a manifest there needs it: looked up
   * after the link is locked, so that a push of such a manifest either misses the link or is seen here.
   */
  async remove(place: Place, authority: Authority, digest: Digest): Promise<void> {
    const { change, clock, failpoint } = this.#parts;
    await failpoint('delete.commit.before');
    await change(place, authority, async ({ tx, repositoryUid, repositoryLocks }) => {
      requireOn({ repository: place.repository }, repositoryLocks, 'writeEnabled');
      const of = { repository: repositoryUid ?? '', digest };
      const removed = await deleteLink.ahead(tx, of);
      const references = await referenceTo.ahead(tx, of, []);
      if ((await removed()).length === 0) throw new BerthError('blobUnknown', { digest });
      const [reference] = await references();
      if (reference !== undefined)
        throw new BerthError('blobReferenced', { digest, manifest: reference.manifest_digest });
      await releaseBlobs(tx, place.registryUid, [digest], clock.nowMicros());
    });
    await failpoint('delete.commit.after');
  }

  async *#readChecked(blob: StoredBlob, range: ByteRange): AsyncGenerator<Uint8Array> {
    const firstBlock = Math.floor(range.start / blockBytes);
    const start = firstBlock * blockBytes;
    const end = Math.min(Math.ceil(range.end / blockBytes) * blockBytes, blob.sizeBytes);
    const stored = this.#parts.store.read(blob.storageKey, { start, end }, { mayReuse: true });
    const expected = { checksums: blob.checksums, firstBlock, lengthBytes: end - start };
    let position = start;
    for await (const chunk of checkedBlocks(stored, expected)) {
      const from = Math.max(range.start - position, 0);
      const to = Math.min(range.end - position, chunk.length);
      position += chunk.length;
      if (from < to) yield from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
    }
  }

  async #markDamaged(blob: StoredBlob): Promise<void> {
    const { database, log } = this.#parts;
    log.error('stored blob is damaged', { digest: blob.digest, registryUid: blob.registryUid });
    await database.transaction(async (tx) => await markDamaged(tx, blob));
  }

  /**
   * A client that is told a blob is here may skip its upload: what nothing references yet must stay for a while longer. Throws
   * `blobUnknown` when it was collected since it was found.
   */
  async #renewGrace(place: Place, { digest }: StoredBlob, graceUntilMicros: number): Promise<void> {
    const graceMicros = this.#parts.graceMs * 1000;
    const nowMicros = this.#parts.clock.nowMicros();
    if (graceUntilMicros > nowMicros + graceMicros / 2) return;
    const link = await this.#parts.database.transaction(async (tx) => {
      await tx
        .updateTable('blobs')
        .set({ grace_until: nowMicros + graceMicros })
        .where('registry_uid', '=', place.registryUid)
        .where('digest', '=', digest)
        .execute();
      return await tx
        .selectFrom('blob_links as l')
        .innerJoin('repositories as r', 'r.uid', 'l.repository_uid')
        .where('r.registry_uid', '=', place.registryUid)
        .where('r.name', '=', place.repository)
        .where('l.digest', '=', digest)
        .select('l.digest')
        .executeTakeFirst();
    });
    if (link === undefined) throw new BerthError('blobUnknown', { digest });
  }
}

async function* passed({ bytes, release }: HeldBlob, { start, end }: ByteRange): AsyncGenerator<Uint8Array> {
  try {
    yield bytes.subarray(start, end);
  } finally {
    release();
  }
}

async function* filled(bytes: AsyncIterable<Uint8Array>, filling: Filling): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of bytes) {
      filling.add(chunk);
      yield chunk;
    }
  } finally {
    filling.end();
  }
}

const deleteLink = hotStatement(['repository', 'digest'], (on, parameter) =>
  on
    .deleteFrom('blob_links')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', '=', parameter<string>('digest'))
    .returning('digest'),
);

/** Of a manifest, also of one that was deleted and can be restored. */
const referenceTo = hotRows(['repository', 'digest'], [], (on, parameter) => {
  const of = (table: 'manifest_references' | 'deleted_references') =>
    on
      .selectFrom(table)
      .where('repository_uid', '=', parameter<string>('repository'))
      .where('digest', '=', parameter<string>('digest'))
      .where('kind', '=', 'blob')
      .select('manifest_digest');
  return of('manifest_references').unionAll(of('deleted_references')).limit(1);
});

/** Repositories looked at for a mount without a source; one of them is almost always readable. */
const mountSources = 100;

/** A blob through a repository's link, beside the tenant's current access epoch; one row whenever the registry exists. */
function createFind(database: Database) {
  return hotQuery(database.read, ['registry', 'repository', 'digest'], (queries, parameter) =>
    fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') })
      .leftJoin('blob_links as l', (join) =>
        join.onRef('l.repository_uid', '=', 'r.uid').on('l.digest', '=', parameter('digest')),
      )
      .leftJoin('blobs as b', (join) => join.onRef('b.registry_uid', '=', 'g.uid').onRef('b.digest', '=', 'l.digest'))
      .select([
        'b.storage_key as storageKey',
        'b.size as sizeBytes',
        'b.state',
        'b.grace_until as graceUntil',
        'b.checksums',
        'r.locks as repositoryLocks',
      ]),
  );
}
