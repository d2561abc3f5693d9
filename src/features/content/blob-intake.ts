import { createHash } from 'node:crypto';
import { algorithmOf, type Digest, digestOf } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { BlobMissing, type StorageKey } from '../../platform/blob-store/blob-store.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import { requireOn } from './attributes.ts';
import { type CommitTarget, CopyGone, commitBlob, linkCopy, markDamaged, renewCopy } from './blob-commit.ts';
import { ByteCursor } from './byte-cursor.ts';
import { ComparedCopies } from './compared-copies.ts';
import type { ContentParts } from './content-parts.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { IncomingDigest } from './incoming-digest.ts';
import type { Place } from './place.ts';
import { ensureRepository } from './repository-store.ts';
import { areSame, sameBytes } from './same-bytes.ts';
import { storageLimitOf } from './storage-use.ts';
import { createUploadQueries, type UploadQueries } from './upload-queries.ts';
import { endUpload, type Upload } from './upload-store.ts';

export type BlobIntakeParts = ContentParts & {
  /** How long a blob that nothing references is kept at least. */
  readonly graceMs: number;
};

/** Where a blob goes, on whose authority, and the session that ends with it. */
export type Target = { readonly place: Place; readonly authority: Authority; readonly upload?: Upload };
/** Bytes that were sent and are not yet a blob. */
export type Sent = Pick<Upload, 'handle' | 'tokens'>;
/** `hashed` is the finished digest of all that was sent, found to be `wanted`. */
export type Content = { readonly wanted: Digest; readonly hashed: IncomingDigest };

/** Good bytes of a digest that the registry has already. */
export type Copy = { readonly storageKey: StorageKey; readonly size: number; readonly graceUntilMicros: number };

/** What was found of a digest, and when by the monotonic clock. */
export type Look = { readonly copy: Copy | undefined; readonly atMs: number };

const longestFreshMs = 1_000;

/** The step that makes sent bytes a blob of the registry. A digest that is here already is compared, not written again. */
export class BlobIntake {
  readonly #parts: BlobIntakeParts;
  readonly #queries: Pick<UploadQueries, 'copy'>;
  readonly #compared: ComparedCopies;

  constructor(parts: BlobIntakeParts) {
    this.#parts = parts;
    this.#compared = new ComparedCopies(parts.clock);
    this.#queries = createUploadQueries(parts.database);
  }

  /**
   * Compares a body, while it arrives, with the registry's copy of its digest and links that copy when they are the same:
   * the bytes are never stored. Otherwise resolves to the body, whole again, for the caller to store. A copy that was compared
   * a moment ago is not read again.
   * Throws `digestInvalid`, what the body throws, and `busy` when the copy fails or goes away meanwhile: a second try stores.
   */
  async linkSame(
    target: Target,
    wanted: Digest,
    body: IncomingBytes,
    copy: Copy | undefined,
  ): Promise<IncomingBytes | undefined> {
    if (copy === undefined || copy.size !== (body.lengthBytes ?? copy.size)) return body;
    if (!(await this.#hold(target, wanted, copy))) return body;
    if (this.#compared.has(copy.storageKey)) {
      await requireDigest(body.bytes, wanted, copy.size);
    } else {
      const other = await this.#compare(target, wanted, body, copy);
      if (other !== undefined) return other;
      this.#compared.wasRead(copy.storageKey);
    }
    if (await this.#link(target, wanted, copy.storageKey)) return undefined;
    throw new BerthError('busy', undefined, { retryAfterSeconds: 1 });
  }

  /**
   * Keeps the copy from being collected while a body is compared with it: its grace is renewed unless half of it is left. False when
   * it is gone already.
   */
  async #hold({ place }: Target, digest: Digest, { storageKey, graceUntilMicros }: Copy): Promise<boolean> {
    const { database, clock, graceMs } = this.#parts;
    const nowMicros = clock.nowMicros();
    if (graceUntilMicros - nowMicros > graceMs * 500) return true;
    const renewed = { digest, storageKey, graceUntilMicros: nowMicros + graceMs * 1000 };
    return await database.transaction((tx) => renewCopy(tx, { registryUid: place.registryUid, ...renewed }));
  }

  /** Undefined when body and copy are the same and of the digest; else the body, whole again. */
  async #compare(target: Target, wanted: Digest, body: IncomingBytes, copy: Copy): Promise<IncomingBytes | undefined> {
    const { store } = this.#parts;
    const sent = new ByteCursor(body.bytes);
    const stored = new ByteCursor(this.#guarded(target, wanted, copy));
    const hash = createHash(algorithmOf(wanted));
    let matched = 0;
    try {
      const isSame = await areSame(sent, stored, (bytes) => {
        hash.update(bytes);
        matched += bytes.length;
      });
      if (!isSame) {
        const before = store.read(copy.storageKey, { start: 0, end: matched });
        return { bytes: joined(before, sent), lengthBytes: body.lengthBytes };
      }
      await sent.close();
    } catch (error) {
      await sent.close();
      throw error;
    } finally {
      await stored.close();
    }
    if (digestOf(algorithmOf(wanted), hash.digest('hex')) !== wanted) {
      throw new BerthError('digestInvalid', { digest: wanted });
    }
    return undefined;
  }

  /**
   * Makes checked bytes a blob of the registry; a stored copy that differs from them is replaced. A look at the copy of a moment ago is
   * good enough: whoever pushed the digest since costs this push a write for nothing.
   */
  async keep(target: Target, sent: Sent, content: Content, look?: Look): Promise<void> {
    const { store, clock } = this.#parts;
    const isFresh = look !== undefined && clock.monotonicMs() - look.atMs < longestFreshMs;
    const copy = isFresh ? look.copy : await this.copyOf(target, content.wanted);
    if (copy?.size === content.hashed.sizeBytes && (await this.#isGood(copy.storageKey, sent))) {
      if (await this.#link(target, content.wanted, copy.storageKey)) return await store.abort(sent.handle);
    }
    await this.#commit(target, content, await this.#complete(sent), copy?.storageKey);
  }

  async copyOf({ place }: Target, digest: Digest): Promise<Copy | undefined> {
    return await this.#queries.copy(this.#parts.database.read, { registry: place.registryUid, digest });
  }

  /** The copy's bytes; one that cannot be read is set aside, so that the next push of its digest replaces it. */
  async *#guarded({ place }: Target, digest: Digest, { storageKey }: Copy): AsyncGenerator<Uint8Array> {
    const { database, store, log } = this.#parts;
    try {
      yield* store.read(storageKey, undefined, { mayReuse: true });
    } catch (cause) {
      // A store that does not answer says nothing about the copy.
      if (cause instanceof BerthError && cause.error === 'storeAway') throw cause;
      log.error('stored blob is damaged', { digest, registryUid: place.registryUid, error: cause });
      await database.transaction(
        async (tx) => await markDamaged(tx, { registryUid: place.registryUid, digest, storageKey }),
      );
      throw new BerthError('busy', undefined, { cause, retryAfterSeconds: 1 });
    }
  }

  /** A copy that is missing or cannot be read is no good; what was sent takes its place. */
  async #isGood(storageKey: StorageKey, sent: Sent): Promise<boolean> {
    const { store, log } = this.#parts;
    try {
      return await sameBytes(store.read(storageKey), store.readUnfinished(sent.handle, sent.tokens));
    } catch (error) {
      log.warn('a stored copy could not be compared', { error });
      return false;
    }
  }

  async #complete({ handle, tokens }: Sent): Promise<StorageKey> {
    try {
      return await this.#parts.store.complete(handle, tokens);
    } catch (cause) {
      if (cause instanceof BlobMissing) throw new BerthError('uploadUnknown', undefined, { cause });
      throw cause;
    }
  }

  /** False when the copy went away meanwhile; the session is still open then. */
  async #link(target: Target, digest: Digest, storageKey: StorageKey): Promise<boolean> {
    try {
      await this.#change(target, async (tx, commit) => await linkCopy(tx, commit, digest, storageKey));
      return true;
    } catch (error) {
      if (error instanceof CopyGone) return false;
      throw error;
    }
  }

  async #commit(
    target: Target,
    content: Content,
    storageKey: StorageKey,
    badKey: StorageKey | undefined,
  ): Promise<void> {
    const { failpoint, store } = this.#parts;
    const { wanted, hashed } = content;
    const finished = { digest: wanted, storageKey, sizeBytes: hashed.sizeBytes, checksums: hashed.checksums.finish() };
    await failpoint('blob.commit.before');
    const inUse = await this.#change(target, async (tx, commit) => await commitBlob(tx, commit, finished, badKey));
    await failpoint('blob.commit.after');
    const surplus = inUse === storageKey ? badKey : storageKey;
    if (surplus !== undefined) await store.removeMany([surplus]);
  }

  /** The last transaction of an upload: ends its session, if it has one, and makes sure of the repository. */
  async #change<T>(target: Target, work: (tx: Transaction, commit: CommitTarget) => Promise<T>): Promise<T> {
    const { change, clock, ids, graceMs, storageLimits } = this.#parts;
    const { place, authority, upload } = target;
    return await change(place, authority, async (context) => {
      const { tx, repositoryLocks, registry } = context;
      requireOn({ repository: place.repository }, repositoryLocks, 'writeEnabled');
      const nowMicros = clock.nowMicros();
      if (upload !== undefined && !(await endUpload(tx, upload))) throw new BerthError('uploadUnknown');
      const { uid } = await ensureRepository(context, place, { uid: ids.uid(), nowMicros });
      const graceUntilMicros = nowMicros + graceMs * 1000;
      const limitBytes = storageLimitOf(registry, storageLimits);
      const { registryUid } = place;
      return await work(tx, { registryUid, repositoryUid: uid, nowMicros, graceUntilMicros, limitBytes });
    });
  }
}

/** Reads a body that must have this digest, and so this size. Throws `digestInvalid`, and what the body throws. */
async function requireDigest(bytes: AsyncIterable<Uint8Array>, wanted: Digest, size: number): Promise<void> {
  const hash = createHash(algorithmOf(wanted));
  let left = size;
  for await (const chunk of bytes) {
    left -= chunk.length;
    if (left < 0) break;
    hash.update(chunk);
  }
  if (left === 0 && digestOf(algorithmOf(wanted), hash.digest('hex')) === wanted) return;
  throw new BerthError('digestInvalid', { digest: wanted });
}

/** Closes the body when its reader stops early. */
async function* joined(before: AsyncIterable<Uint8Array>, sent: ByteCursor): AsyncGenerator<Uint8Array> {
  try {
    yield* before;
    yield* sent.remaining();
  } finally {
    await sent.close();
  }
}
