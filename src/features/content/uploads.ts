import { algorithmOf, type Digest, type DigestAlgorithm } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { BlobMissing } from '../../platform/blob-store/blob-store.ts';
import type { Authority } from '../access/authority.ts';
import { requireOn } from './attributes.ts';
import { BlobIntake, type Copy, type Target } from './blob-intake.ts';
import type { ContentParts } from './content-parts.ts';
import { type IncomingBytes, type Received, receive } from './incoming-bytes.ts';
import { IncomingDigest } from './incoming-digest.ts';
import { OpenDigests } from './open-digests.ts';
import type { Place } from './place.ts';
import type { RecentRepositories } from './recent-repositories.ts';
import { ensureRepository } from './repository-store.ts';
import { createUploadQueries, type UploadQueries } from './upload-queries.ts';
import {
  claimUpload,
  countOpenUploads,
  endUpload,
  insertUpload,
  moveUpload,
  releaseUpload,
  renewUpload,
  type Upload,
  uploadLeaseMicros,
} from './upload-store.ts';
import type { UploadSession, UploadTickets } from './upload-tickets.ts';

export type UploadLimits = {
  /** A session that nobody touches for so long ends. */
  readonly idleMs: number;
  readonly maxBlobBytes: number;
  /** Sessions with stored bytes that one identity may hold open in one registry. */
  readonly maxOpenPerIdentity: number;
  /** How long a blob that nothing references is kept at least. */
  readonly graceMs: number;
};

export type UploadParts = ContentParts & {
  /** Told of what is read of repositories on the way, for the change that follows. */
  readonly recent?: RecentRepositories;
  readonly tickets: UploadTickets;
  readonly limits: UploadLimits;
};

type CopyColumns = {
  readonly copyKey: Copy['storageKey'] | null;
  readonly copySize: number | null;
  readonly copyGrace: number | null;
};

/** Of an outer join: all of its columns, or none. */
function copyIn({ copyKey, copySize, copyGrace }: CopyColumns): Copy | undefined {
  if (copyKey === null || copySize === null || copyGrace === null) return undefined;
  return { storageKey: copyKey, size: copySize, graceUntilMicros: copyGrace };
}

type Found = { readonly upload: Upload | undefined; readonly copy: Copy | undefined };

/** What a Content-Range header announces, in bytes. */
export type ChunkRange = { readonly start: number; readonly lengthBytes: number };

/** One chunk of an upload. */
export type Chunk = { readonly body: IncomingBytes; readonly range: ChunkRange | undefined };

/**
 * Blob uploads: sessions, chunks, and the step that makes a finished upload a blob of its registry.
 *
 * A session is a ticket in the upload's `Location`; a row exists from the end of its first chunk. Each request on a session
 * with a row claims it with a raised fence number, so that a second one is told `uploadBusy`, and a late one cannot write its
 * state. Bytes that arrived before a connection broke are kept, so that the client goes on from there.
 * Source: OCI distribution specification, "Pushing blobs".
 */
export class Uploads {
  readonly #parts: UploadParts;
  readonly #queries: UploadQueries;
  readonly #intake: BlobIntake;
  readonly #digests = new OpenDigests();

  constructor(parts: UploadParts) {
    this.#parts = parts;
    this.#queries = createUploadQueries(parts.database);
    this.#intake = new BlobIntake({ ...parts, graceMs: parts.limits.graceMs });
  }

  /** Begins a session; stores nothing. Resolves to its ticket and uid. */
  begin(place: Place, authority: Authority, algorithm: DigestAlgorithm): { ticket: string; uid: string } {
    const { clock, ids, tickets } = this.#parts;
    const uid = ids.uid();
    const principalUid = authority.principal.uid;
    const ticket = tickets.write({ uid, algorithm, startedMicros: clock.nowMicros(), place, principalUid });
    return { ticket, uid };
  }

  /** Throws `uploadUnknown` for a ticket that this principal did not get for this place. */
  session(ticket: string, place: Place, authority: Authority): UploadSession {
    return this.#parts.tickets.read(ticket, place, authority.principal.uid);
  }

  /** Bytes stored so far. Throws `uploadUnknown` once the session has ended. */
  async offset(session: UploadSession, authority: Authority): Promise<number> {
    return (await this.#find(session, authority)).upload?.offset ?? 0;
  }

  /**
   * Stores a chunk; resolves to the bytes stored so far.
   * Throws `uploadUnknown`, `uploadBusy`, `uploadRange`, `sizeInvalid`, `blobTooLarge`, `uploadTooMany`, `contentLocked`.
   */
  async append(session: UploadSession, authority: Authority, chunk: Chunk): Promise<number> {
    const { upload: found } = await this.#find(session, authority);
    const body = bodyOf(chunk, found?.offset ?? 0);
    return found === undefined
      ? await this.#appendFirst(session, authority, body)
      : await this.#withClaim(found, async (upload) => await this.#appendNext(session, upload, body));
  }

  /**
   * Ends a session: stores the last chunk (often empty), checks the digest of the whole and makes it a blob of the registry.
   * Throws as `append` does, and `digestInvalid`, which ends the session.
   */
  async finish(session: UploadSession, authority: Authority, wanted: Digest, chunk: Chunk): Promise<void> {
    const { upload: found, copy } = await this.#find(session, authority, wanted);
    const body = bodyOf(chunk, found?.offset ?? 0);
    if (found === undefined) return await this.#pushWhole({ place: session.place, authority }, wanted, body, copy);
    await this.#withClaim(found, async (upload) => {
      const { digest, tokens } = await this.#receiveLast(session, upload, wanted, body);
      if (digest.sizeBytes < upload.offset) throw await this.#discard(upload, new BerthError('uploadUnknown'));
      if (digest.finish() !== wanted)
        throw await this.#discard(upload, new BerthError('digestInvalid', { digest: wanted }));
      const target = { place: session.place, authority, upload };
      await this.#intake.keep(target, { ...upload, tokens }, { wanted, hashed: digest });
    });
  }

  /** A blob in one request, without a session. Throws `digestInvalid`, `sizeInvalid`, `blobTooLarge`. */
  async push(place: Place, authority: Authority, wanted: Digest, body: IncomingBytes): Promise<void> {
    const target = { place, authority };
    await this.#pushWhole(target, wanted, body, await this.#intake.copyOf(target, wanted));
  }

  async #pushWhole(target: Target, wanted: Digest, body: IncomingBytes, copy: Copy | undefined): Promise<void> {
    const { store, clock } = this.#parts;
    const look = { copy, atMs: clock.monotonicMs() };
    const unknown = await this.#intake.linkSame(target, wanted, body, copy);
    if (unknown === undefined) return;
    const handle = await store.begin();
    const digest = new IncomingDigest(algorithmOf(wanted));
    await this.#orAbort(handle, async () => {
      const { part } = whole(await this.#receive({ handle, offset: 0, tokens: [] }, unknown, digest));
      if (digest.finish() !== wanted) throw new BerthError('digestInvalid', { digest: wanted });
      const tokens = await this.#partsOf(handle, part);
      await this.#intake.keep(target, { handle, tokens }, { wanted, hashed: digest }, look);
    });
  }

  /** Ends a session and frees its bytes. */
  async cancel(session: UploadSession, authority: Authority): Promise<void> {
    const { upload: found } = await this.#find(session, authority);
    if (found === undefined) return await this.#cancelUnwritten(session, authority);
    await this.#withClaim(found, async (upload) => {
      await this.#discard(upload, undefined);
    });
  }

  /** Gives back what requests of a killed process held. For a start at which no other process can hold anything. */
  async releaseAll(): Promise<void> {
    await this.#parts.database.transaction(async (tx) => {
      await tx
        .updateTable('uploads')
        .set({ lease_owner: null, lease_until: 0 })
        .where('lease_owner', 'is not', null)
        .execute();
    });
  }

  /**
   * The session's row, undefined while nothing was stored, and the registry's copy of what it shall be. Throws `uploadUnknown`
   * when it ended or expired.
   */
  async #find(session: UploadSession, authority: Authority, wanted?: Digest): Promise<Found> {
    const { database, clock, limits, recent } = this.#parts;
    const { registryUid: registry, repository } = session.place;
    const row = await this.#queries.find(database.read, {
      registry,
      repository,
      uid: session.uid,
      digest: wanted ?? '',
    });
    if (row === undefined) throw new BerthError('registryUnknown');
    const { epoch, handle, offset, parts, fence, holder, copyKey, copySize, copyGrace, ...facts } = row;
    await authority.confirm(epoch);
    if (database.kind === 'postgres') recent?.keep(session.place, facts);
    const copy = copyIn({ copyKey, copySize, copyGrace });
    if (handle === null || offset === null || parts === null || fence === null) {
      if (clock.nowMicros() > session.startedMicros + limits.idleMs * 1000) throw new BerthError('uploadUnknown');
      return { upload: undefined, copy };
    }
    if (handle === '') throw new BerthError('uploadUnknown');
    const upload = { uid: session.uid, handle, offset, tokens: parseTokens(parts), fence, isHeld: holder !== null };
    return { upload, copy };
  }

  async #appendFirst(session: UploadSession, authority: Authority, body: IncomingBytes): Promise<number> {
    const { store, ids, limits } = this.#parts;
    const handle = await store.begin();
    const digest = new IncomingDigest(session.algorithm);
    const first: Upload = { uid: session.uid, handle, offset: 0, tokens: [], fence: 1, isHeld: false };
    const { upload, failure } = await this.#orAbort(handle, async () => {
      const received = await this.#receive(first, body, digest);
      const stored = grown(first, received);
      await this.#parts.change(session.place, authority, async (context) => {
        const { tx, repositoryLocks } = context;
        requireOn({ repository: session.place.repository }, repositoryLocks, 'writeEnabled');
        if ((await countOpenUploads(tx, session)) >= limits.maxOpenPerIdentity) {
          throw new BerthError('uploadTooMany', { limit: limits.maxOpenPerIdentity });
        }
        const fresh = { uid: ids.uid(), nowMicros: this.#now() };
        const { uid: repository } = await ensureRepository(context, session.place, fresh);
        if (!(await insertUpload(tx, session, repository, stored, this.#times()))) throw new BerthError('uploadBusy');
      });
      return { upload: stored, failure: received.failure };
    });
    this.#digests.keep(upload.uid, digest);
    if (failure !== undefined) throw failure;
    return upload.offset;
  }

  async #appendNext(session: UploadSession, upload: Upload, body: IncomingBytes): Promise<number> {
    const { database, failpoint } = this.#parts;
    const digest = this.#digests.take(session.uid, upload.offset);
    const received = await this.#receive(upload, body, digest);
    const stored = grown(upload, received);
    await failpoint('upload.offset.before');
    const released = await database.transaction(async (tx) => await releaseUpload(tx, stored, this.#times()));
    const isReleased = await released();
    await failpoint('upload.offset.after');
    if (!isReleased) throw new BerthError('uploadUnknown');
    if (digest !== undefined) this.#digests.keep(session.uid, digest);
    if (received.failure !== undefined) throw received.failure;
    return stored.offset;
  }

  /** The last chunk, and the digest of the whole: the one kept in memory, else from the stored bytes. */
  async #receiveLast(session: UploadSession, upload: Upload, wanted: Digest, body: IncomingBytes) {
    const kept = this.#digests.take(session.uid, upload.offset);
    const received = await this.#receive(upload, body, kept);
    if (received.failure !== undefined) throw received.failure;
    const tokens = await this.#partsOf(upload.handle, received.part, upload.tokens);
    if (kept?.algorithm === algorithmOf(wanted)) return { digest: kept, tokens };
    const stored = this.#parts.store.readUnfinished(upload.handle, tokens);
    return { digest: await IncomingDigest.of(algorithmOf(wanted), stored), tokens };
  }

  async #receive(
    upload: Pick<Upload, 'handle' | 'offset' | 'tokens'>,
    body: IncomingBytes,
    digest: IncomingDigest | undefined,
  ): Promise<Received> {
    const { store, limits } = this.#parts;
    const place = { number: upload.tokens.length + 1, offset: upload.offset };
    return await receive(store, { handle: upload.handle, place, maxBytes: limits.maxBlobBytes }, body, digest);
  }

  /** Part tokens for `complete`; an empty blob is one empty part. */
  async #partsOf(handle: string, part: Received['part'], before: readonly string[] = []): Promise<readonly string[]> {
    if (part !== undefined) return [...before, part.token];
    if (before.length > 0) return before;
    const empty = await this.#parts.store.part(handle, { number: 1, offset: 0 }, noBytes());
    return [empty.token];
  }

  /** A cancelled session without a row gets one that says it ended, so that its ticket is of no further use. */
  async #cancelUnwritten(session: UploadSession, authority: Authority): Promise<void> {
    const { change, ids } = this.#parts;
    await change(session.place, authority, async (context) => {
      const { tx } = context;
      const fresh = { uid: ids.uid(), nowMicros: this.#now() };
      const { uid: repository } = await ensureRepository(context, session.place, fresh);
      const ended: Upload = { uid: session.uid, handle: '', offset: 0, tokens: [], fence: 1, isHeld: false };
      if (!(await insertUpload(tx, session, repository, ended, this.#times()))) throw new BerthError('uploadBusy');
    });
  }

  /** Ends a claimed session and frees its bytes; hands back `error` for the caller to throw. */
  async #discard(upload: Upload, error: BerthError | undefined): Promise<BerthError | undefined> {
    const { database, store } = this.#parts;
    const isEnded = await database.transaction(async (tx) => await endUpload(tx, upload));
    if (isEnded) await store.abort(upload.handle);
    return error;
  }

  /** Claims an upload for the length of `work`, renewing the hold; gives it back unchanged when `work` throws. */
  async #withClaim<T>(found: Upload, work: (upload: Upload) => Promise<T>): Promise<T> {
    const { database, ids } = this.#parts;
    const lease = { owner: ids.uid(), nowMicros: await database.nowMicros() };
    const claim = await database.transaction(async (tx) => await claimUpload(tx, found, lease));
    const fence = await claim();
    if (fence === undefined) throw new BerthError('uploadBusy', undefined, { retryAfterSeconds: 1 });
    const claimed = { ...found, fence };
    const renewal = setInterval(() => void this.#renew(claimed), uploadLeaseMicros / 3000);
    try {
      return await this.#orRelease(found.isHeld ? await this.#takeOver(claimed) : claimed, work);
    } finally {
      clearInterval(renewal);
    }
  }

  /** A session whose bytes are gone has ended. */
  async #orRelease<T>(upload: Upload, work: (upload: Upload) => Promise<T>): Promise<T> {
    try {
      return await work(upload);
    } catch (error) {
      if (error instanceof BlobMissing) throw await this.#discard(upload, new BerthError('uploadUnknown'));
      await this.#parts.database.transaction(async (tx) => await releaseUpload(tx, upload, this.#times()));
      throw error;
    }
  }

  /**
   * Copies the bytes of an upload whose holder let its hold lapse: that request may still be alive, and would write to the
   * old handle. A throw leaves the hold to lapse again, so that the next request takes over too.
   */
  async #takeOver(upload: Upload): Promise<Upload> {
    const { database, store } = this.#parts;
    const handle = await store.begin();
    return await this.#orAbort(handle, async () => {
      const stored = store.readUnfinished(upload.handle, upload.tokens);
      const part = upload.offset === 0 ? undefined : await store.part(handle, { number: 1, offset: 0 }, stored);
      const moved = { ...upload, handle, tokens: part === undefined ? [] : [part.token] };
      const isMoved = await database.transaction(async (tx) => await moveUpload(tx, moved));
      if (!isMoved) throw new BerthError('uploadBusy');
      await store.abort(upload.handle);
      return moved;
    });
  }

  /** A renewal that fails changes nothing: the fence is checked again when the request writes its result. */
  async #renew(upload: Upload): Promise<void> {
    const { database } = this.#parts;
    try {
      const nowMicros = await database.nowMicros();
      await database.transaction(async (tx) => await renewUpload(tx, upload, nowMicros));
    } catch {
      // The next renewal or the end of the request tells.
    }
  }

  async #orAbort<T>(handle: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.#parts.store.abort(handle);
      throw error;
    }
  }

  #now(): number {
    return this.#parts.clock.nowMicros();
  }

  #times(): { nowMicros: number; expiresMicros: number } {
    const nowMicros = this.#now();
    return { nowMicros, expiresMicros: nowMicros + this.#parts.limits.idleMs * 1000 };
  }
}

/**
 * The body of a chunk, as long as its range says.
 * Throws `uploadRange` when it does not start at `offset`, `sizeInvalid` when its two lengths differ.
 */
function bodyOf({ body, range }: Chunk, offset: number): IncomingBytes {
  if (range === undefined) return body;
  if (range.start !== offset) throw new BerthError('uploadRange', { offset, start: range.start });
  const { bytes, lengthBytes = range.lengthBytes } = body;
  if (lengthBytes !== range.lengthBytes) {
    throw new BerthError('sizeInvalid', { announced: range.lengthBytes, sent: lengthBytes });
  }
  return { bytes, lengthBytes };
}

function grown(upload: Upload, { part }: Received): Upload {
  if (part === undefined) return upload;
  return { ...upload, offset: upload.offset + part.sizeBytes, tokens: [...upload.tokens, part.token] };
}

function whole(received: Received): Received {
  if (received.failure !== undefined) throw received.failure;
  return received;
}

function parseTokens(json: string): string[] {
  const value: unknown = JSON.parse(json);
  return Array.isArray(value) ? value.filter((token) => typeof token === 'string') : [];
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}
