import { hash } from 'node:crypto';
import { algorithmOf, type Digest, type DigestAlgorithm, digestOf, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { type Manifest, parseManifest } from '../../core/manifest.ts';
import type { Reference, Tag } from '../../core/reference.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { type NewEvent, streamOf } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { ContentParts } from './content-parts.ts';
import {
  createManifestQueries,
  deleteManifest,
  insertManifest,
  lockManifest,
  missingBlobs,
  missingManifests,
  type StoredManifest,
  setTag,
} from './manifest-store.ts';
import type { Place } from './place.ts';
import { ensureRepository } from './repository-store.ts';

export type ManifestParts = Omit<ContentParts, 'store'> & {
  /** Region of origin of what is written here. */
  readonly region: string;
  /** Whether manifests may name blobs and children that were never pushed. Source: the specification's sparse manifests. */
  readonly isSparseAllowed: boolean;
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

  constructor(parts: ManifestParts) {
    this.#parts = parts;
    this.#queries = createManifestQueries(parts.database);
  }

  /** Throws `manifestUnknown`, and `manifestDamaged` where the stored bytes are not those of the digest. */
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
   * Throws `manifestInvalid`, `manifestTooLarge`, `manifestSchema1`, `digestInvalid`, and `manifestBlobUnknown` with the
   * missing digests.
   */
  async push(place: Place, authority: Authority, push: ManifestPush): Promise<PushedManifest> {
    const { change, clock, database, failpoint, ids, region } = this.#parts;
    const manifest = parseManifest(push.body, push.contentType);
    const digest = digestOfPush(push);
    // One order for all pushes: two that set the same tags must not wait for each other.
    const tags = push.reference.kind === 'tag' ? [push.reference.tag] : [...new Set(push.tags)].sort();
    const stored = { digest, mediaType: manifest.mediaType, body: push.body };
    await failpoint('manifest.commit.before');
    await change(place, authority, async ({ tx, append, repositoryUid }) => {
      const nowMicros = clock.nowMicros();
      const uid = await ensureRepository(tx, place, repositoryUid, { uid: ids.uid(), nowMicros });
      await this.#checkReferences(tx, place, uid, manifest);
      await insertManifest(tx, database.kind, { repositoryUid: uid, stored, manifest, nowMicros });
      const event = eventsOf(place, authority, region);
      append(event('manifest.pushed', { ...describe(stored, manifest), tags }));
      for (const tag of tags) {
        const { hybridTime } = await setTag(tx, uid, { tag, digest, region, nowMicros });
        append(event('tag.set', { tag, digest, hybridTime, region }));
      }
    });
    await failpoint('manifest.commit.after');
    return { digest, subject: manifest.subject?.digest };
  }

  /** Removes a tag, or a manifest with every tag on it. Throws `manifestUnknown`, `manifestReferenced`. */
  async remove(place: Place, authority: Authority, reference: Reference): Promise<void> {
    const { change, clock, database, failpoint } = this.#parts;
    await failpoint('delete.commit.before');
    await change(place, authority, async ({ tx, append, repositoryUid }) => {
      if (repositoryUid === undefined) throw unknown(place, reference);
      const event = eventsOf(place, authority, this.#parts.region);
      const nowMicros = clock.nowMicros();
      const events =
        reference.kind === 'tag'
          ? await removeTag(tx, repositoryUid, reference.tag, event)
          : await removeManifest(tx, database.kind, { repositoryUid, digest: reference.digest, nowMicros }, event);
      if (events.length === 0) throw unknown(place, reference);
      for (const entry of events) append(entry);
    });
    await failpoint('delete.commit.after');
  }

  #checked(manifest: StoredManifest): StoredManifest {
    const { digest, body } = manifest;
    if (hashOf(algorithmOf(digest), body) === digest) return manifest;
    this.#parts.log.error('stored manifest is damaged', { digest });
    throw new BerthError('manifestDamaged', { digest });
  }

  /** Non-distributable layers count where they were pushed, and may be missing. */
  async #checkReferences(tx: Transaction, place: Place, repositoryUid: string, manifest: Manifest): Promise<void> {
    const { database, isSparseAllowed } = this.#parts;
    const target = { registryUid: place.registryUid, repositoryUid };
    const blobs = await missingBlobs(tx, database.kind, target, unique(manifest.blobs));
    const children = await missingManifests(tx, database.kind, repositoryUid, unique(manifest.children));
    const missing = [...blobs, ...children];
    if (isSparseAllowed || missing.length === 0) return;
    throw new BerthError(
      'manifestBlobUnknown',
      missing.slice(0, shownMissing).map((digest) => ({ digest })),
    );
  }
}

const shownMissing = 20;

type EventOf = (type: string, data: Readonly<Record<string, unknown>>) => NewEvent;

function eventsOf(place: Place, authority: Authority, region: string): EventOf {
  const stream = streamOf(place.registryUid, region);
  const actor = authority.principal.uid;
  const common = { repository: place.repository, ...requestOf(authority) };
  return (type, data) => ({ stream, type, version: 1, actor, data: { ...common, ...data } });
}

/** Who asked, from where: what those who are told of the change want to know. */
function requestOf({ circumstances, principal }: Authority): Readonly<Record<string, unknown>> {
  if (circumstances === undefined) return {};
  const { correlationId: id, address, userAgent } = circumstances;
  return { request: { id, address, name: principal.name, ...(userAgent === undefined ? {} : { userAgent }) } };
}

async function removeTag(tx: Transaction, repositoryUid: string, tag: Tag, event: EventOf): Promise<NewEvent[]> {
  const rows = await tx
    .deleteFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('name', '=', tag)
    .returning('digest')
    .execute();
  return rows.map((row) => event('tag.deleted', { tag, digest: row.digest }));
}

/** Locks the manifest first: a push of an index that names it either sees it gone or is seen here. */
async function removeManifest(
  tx: Transaction,
  kind: Database['kind'],
  at: { readonly repositoryUid: string; readonly digest: Digest; readonly nowMicros: number },
  event: EventOf,
): Promise<NewEvent[]> {
  const { repositoryUid, digest } = at;
  if (!(await lockManifest(tx, kind, repositoryUid, digest))) return [];
  const parent = await tx
    .selectFrom('manifest_references')
    .select('manifest_digest')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .where('kind', '=', 'manifest')
    .limit(1)
    .executeTakeFirst();
  if (parent !== undefined) throw new BerthError('manifestReferenced', { digest, index: parent.manifest_digest });
  const tags = await tx
    .deleteFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .returning('name')
    .execute();
  const last = await tx
    .selectFrom('manifests')
    .select(['media_type as mediaType', 'size as sizeBytes'])
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .executeTakeFirst();
  await deleteManifest(tx, repositoryUid, digest, at.nowMicros);
  return [event('manifest.deleted', { digest, ...last, tags: tags.map((tag) => tag.name) })];
}

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

function unique(descriptors: readonly { readonly digest: Digest }[]): Digest[] {
  return [...new Set(descriptors.map((descriptor) => descriptor.digest))];
}

function unknown(place: Place, reference: Reference): BerthError {
  const name = reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest };
  return new BerthError('manifestUnknown', { repository: place.repository, ...name });
}
