import { hash } from 'node:crypto';
import { algorithmOf, type Digest, type DigestAlgorithm, digestOf, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { type Manifest, parseManifest } from '../../core/manifest.ts';
import type { Reference, Tag } from '../../core/reference.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import { type Locks, requireOn } from './attributes.ts';
import type { Change } from './authorized-change.ts';
import { eventsOf } from './content-events.ts';
import type { ContentParts } from './content-parts.ts';
import { Deletions } from './deletions.ts';
import { immutableTagsOf } from './immutable-tags.ts';
import type { LastPulls } from './last-pulls.ts';
import {
  askForMissingBlobs,
  askForMissingManifests,
  createManifestQueries,
  insertManifest,
  repairManifest,
  type StoredManifest,
  touchManifest,
} from './manifest-store.ts';
import type { Place } from './place.ts';
import { pointTag, tagState } from './point-tag.ts';
import { RepositoryRows } from './repository-rows.ts';
import { ensureRepository } from './repository-store.ts';
import { countUsage, storageLimitOf, useBlobsOf } from './storage-use.ts';
import { markUntagged } from './untagged-marks.ts';

export type ManifestParts = Omit<ContentParts, 'store'> & {
  /** Region of origin of what is written here. */
  readonly region: string;
  /** How long a manifest that comes without a tag may wait for one, or for its index, before a policy counts. */
  readonly graceMs: number;
  /** Whether manifests may name blobs and children that were never pushed. Source: the specification's sparse manifests. */
  readonly isSparseAllowed: boolean;
  /** Told of what is asked for. */
  readonly lastPulls?: LastPulls;
};

/** A push as the client sent it. */
export type ManifestPush = {
  readonly body: Uint8Array;
  /** Media type of the request without parameters. */
  readonly contentType: string | undefined;
  readonly reference: Reference;
  /** More tags to set in the same step; only with a push by digest. */
  readonly tags: readonly Tag[];
};

export type PushedManifest = { readonly digest: Digest; readonly subject: Digest | undefined };

/** Manifests and their tags: pull, push, delete. Source: OCI distribution specification, "Pushing manifests". */
export class Manifests {
  readonly #parts: ManifestParts;
  readonly #queries: ReturnType<typeof createManifestQueries>;
  readonly #deletions: Deletions;

  constructor(parts: ManifestParts) {
    this.#deletions = new Deletions(parts);
    this.#parts = parts;
    this.#queries = createManifestQueries(parts.database);
  }

  /** Throws `manifestUnknown`, `contentLocked`, and `manifestDamaged` where the stored bytes are not those of the digest. */
  async find(place: Place, reference: Reference, authority: Authority): Promise<StoredManifest> {
    const at = { registry: place.registryUid, repository: place.repository };
    const on = this.#parts.database.read;
    const row =
      reference.kind === 'tag'
        ? await this.#queries.byTag(on, { ...at, tag: reference.tag })
        : await this.#queries.byDigest(on, { ...at, digest: reference.digest });
    if (row === undefined) throw new BerthError('registryUnknown');
    await authority.confirm(row.epoch);
    const { digest, mediaType, body } = row;
    if (digest === null || mediaType === null || body === null) throw unknown(place, reference);
    requireReadable(place, reference, row);
    this.#parts.lastPulls?.note(place, digest, reference.kind === 'tag' ? reference.tag : undefined);
    return this.#checked({ digest: parseDigest(digest), mediaType, body });
  }

  /**
   * The linux/amd64 image of an index, for clients from before indexes. Throws `manifestUnknown` when it has none.
   * Source: what Docker's registry does for them.
   */
  async platformImage(place: Place, index: StoredManifest, authority: Authority): Promise<StoredManifest> {
    const { children } = parseManifest(index.body, index.mediaType);
    const child = children.find(({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64');
    if (child === undefined) throw unknown(place, { kind: 'digest', digest: index.digest });
    return await this.find(place, { kind: 'digest', digest: child.digest }, authority);
  }

  /**
   * Stores a manifest as pushed and sets its tags, in one step.
   * Throws `manifestInvalid`, `manifestTooLarge`, `manifestSchema1`, `digestInvalid`, `manifestBlobUnknown` with the missing
   * digests, `contentLocked`, `tagImmutable`, `storageLimitReached`.
   */
  async push(place: Place, authority: Authority, push: ManifestPush): Promise<PushedManifest> {
    const { change, clock, failpoint, graceMs, ids, region, storageLimits } = this.#parts;
    const manifest = parseManifest(push.body, push.contentType);
    const digest = digestOfPush(push);
    // One order for all pushes: two that set the same tags must not wait for each other.
    const tags = push.reference.kind === 'tag' ? [push.reference.tag] : [...new Set(push.tags)].sort();
    const stored = { digest, mediaType: manifest.mediaType, body: push.body };
    await failpoint('manifest.commit.before');
    const store = async (context: Change, isExclusive: boolean) => {
      const { tx, append, repositoryLocks, registry } = context;
      requireOn({ repository: place.repository }, repositoryLocks, 'writeEnabled');
      const nowMicros = clock.nowMicros();
      const { uid, ownImmutableTags } = await ensureRepository(context, place, { uid: ids.uid(), nowMicros });
      const requireReferences = await this.#askForReferences(tx, place, uid, manifest, isExclusive);
      if (push.body.byteLength > fewBytes) await requireReferences();
      const wasInserted = await insertManifest(tx, { repositoryUid: uid, stored, manifest, nowMicros });
      const at = { registryUid: place.registryUid, repositoryUid: uid };
      const usedBytes = await useBlobsOf(tx, at, digest);
      const event = eventsOf(place, authority, region);
      append(event('manifest.pushed', { ...describe(stored, manifest), tags }));
      const rules = { ...registry, ownImmutableTags: await ownImmutableTags() };
      const immutable = immutableTagsOf(rules, place.repository);
      const untagged: string[] = [];
      for (const tag of tags) {
        const target = { tag, digest, region, nowMicros };
        const written = await pointTag(tx, { place, repositoryUid: uid, immutable }, target);
        if (written === undefined) continue;
        const { previous } = written;
        append(event('tag.set', { tag, digest, region, ...tagState(written) }));
        if (previous !== undefined) untagged.push(previous);
      }
      await requireReferences();
      const isNew = await wasInserted();
      if (!isNew) await repairManifest(tx, uid, stored);
      if (registry.retentionDays !== null) await markUntagged(tx, at, untagged, nowMicros);
      if (tags.length === 0) {
        if (!isNew) await touchManifest(tx, uid, digest, nowMicros);
        if (registry.retentionDays !== null && !(await refersToOneOf(new RepositoryRows(tx, uid), manifest)))
          await markUntagged(tx, at, [digest], nowMicros + graceMs * 1000);
      }
      const bytes = (await usedBytes()) + (isNew ? push.body.byteLength : 0);
      const limitBytes = storageLimitOf(registry, storageLimits);
      await countUsage(context, { registryUid: place.registryUid, bytes, limitBytes });
    };
    try {
      await change(place, authority, (context) => store(context, false));
    } catch (error) {
      if (!(error instanceof BlobsToCome)) throw error;
      await change(place, authority, (context) => store(context, true), { isExclusive: true });
    }
    await failpoint('manifest.commit.after');
    return { digest, subject: manifest.subject?.digest };
  }

  /** As `Deletions` does. Throws `manifestUnknown`, `manifestReferenced`, `contentLocked`, `tagImmutable`. */
  async remove(place: Place, authority: Authority, reference: Reference): Promise<void> {
    await this.#deletions.reference(place, authority, reference);
  }

  #checked(manifest: StoredManifest): StoredManifest {
    const { digest, body } = manifest;
    if (hashOf(algorithmOf(digest), body) === digest) return manifest;
    this.#parts.log.error('stored manifest is damaged', { digest });
    throw new BerthError('manifestDamaged', { digest });
  }

  /**
   * Non-distributable layers count where they were pushed, and may be missing. Resolves to the check, for which the next statement need
   * not wait. It throws BlobsToCome where a blob that may be missing is, unless the change is exclusive.
   */
  async #askForReferences(
    tx: Transaction,
    place: Place,
    repositoryUid: string,
    manifest: Manifest,
    isExclusive: boolean,
  ): Promise<() => Promise<void>> {
    const { database, isSparseAllowed } = this.#parts;
    const target = { registryUid: place.registryUid, repositoryUid };
    const needed = new Set(unique(manifest.blobs));
    const named = unique([...manifest.blobs, ...manifest.nonDistributable]);
    const blobs = await askForMissingBlobs(tx, database.kind, target, named);
    const children = await askForMissingManifests(tx, database.kind, repositoryUid, unique(manifest.children));
    return async () => {
      const [missingBlobs, missingChildren] = [await blobs(), await children()];
      const missing = [...missingBlobs.filter((digest) => needed.has(digest)), ...missingChildren];
      if (isSparseAllowed || missing.length === 0) {
        if (missingBlobs.length > 0 && !isExclusive && database.kind === 'postgres') throw new BlobsToCome();
        return;
      }
      throw new BerthError(
        'manifestBlobUnknown',
        missing.slice(0, shownMissing).map((digest) => ({ digest })),
      );
    };
  }
}

/** It leaves with that one. */
async function refersToOneOf(rows: RepositoryRows, { subject }: Manifest): Promise<boolean> {
  if (subject === undefined) return false;
  return (
    (await rows.manifests().where('digest', '=', subject.digest).select('digest').executeTakeFirst()) !== undefined
  );
}

/**
 * A blob that the manifest names may be pushed at the same time: in PostgreSQL neither would see the other, and nobody would count it as
 * in use. So no other change of the repository is let in beside such a push.
 */
class BlobsToCome extends Error {}

const shownMissing = 20;
/** A longer manifest is written only when all that it names is here: a refusal has nothing to undo. A shorter one saves a journey. */
const fewBytes = 16 * 1024;

function describe(stored: StoredManifest, manifest: Manifest): Readonly<Record<string, unknown>> {
  return {
    digest: stored.digest,
    mediaType: stored.mediaType,
    sizeBytes: stored.body.byteLength,
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    ...(manifest.subject === undefined ? {} : { subject: manifest.subject.digest }),
  };
}

/** The digest in the algorithm the client pushes by; throws `digestInvalid` when the bytes have another. */
function digestOfPush({ body, reference }: ManifestPush): Digest {
  if (reference.kind === 'tag') return hashOf('sha256', body);
  const actual = hashOf(algorithmOf(reference.digest), body);
  if (actual !== reference.digest) throw new BerthError('digestInvalid', { digest: reference.digest });
  return actual;
}

function hashOf(algorithm: DigestAlgorithm, body: Uint8Array): Digest {
  return digestOf(algorithm, hash(algorithm, body, 'hex'));
}

type LocksOfRow = Readonly<Record<'repositoryLocks' | 'tagLocks' | 'manifestLocks', Locks | null>>;

/** A pull is refused by the repository, by the tag it names, and by the manifest itself. */
function requireReadable({ repository }: Place, reference: Reference, locks: LocksOfRow): void {
  const { repositoryLocks, tagLocks, manifestLocks } = locks;
  requireOn({ repository }, repositoryLocks ?? 0, 'readEnabled');
  const named = reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest };
  requireOn({ repository, ...named }, (tagLocks ?? 0) | (manifestLocks ?? 0), 'readEnabled');
}

function unique(descriptors: readonly { readonly digest: Digest }[]): Digest[] {
  return [...new Set(descriptors.map((descriptor) => descriptor.digest))];
}

function unknown(place: Place, reference: Reference): BerthError {
  const name = reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest };
  return new BerthError('manifestUnknown', { repository: place.repository, ...name });
}
