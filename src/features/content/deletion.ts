import { type Digest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseTag, type Tag } from '../../core/reference.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { deletionLocks, isKept, type Locks, requireOn } from './attributes.ts';
import type { Change } from './authorized-change.ts';
import type { EventOf } from './content-events.ts';
import { isBlobHeld, keepManifest, keepTags } from './deleted-content.ts';
import { type ImmutableTags, immutableTagsOf } from './immutable-tags.ts';
import { lastPulled } from './last-pulls.ts';
import { keepLeftReferrers, leftReferrers } from './left-referrers.ts';
import { deleteManifest } from './manifest-store.ts';
import type { Place } from './place.ts';
import { ReferrerCascade } from './referrer-cascade.ts';
import { repositoryBeginning } from './repository-templates.ts';
import { disuseBlobs, subtractUsage } from './storage-use.ts';
import { markUntagged } from './untagged-marks.ts';

export type DeletionParts = {
  readonly kind: Database['kind'];
  readonly place: Place;
  /** An exclusive one. */
  readonly change: Change;
  /** Of the repository, which exists. */
  readonly repositoryUid: string;
  readonly event: EventOf;
  readonly nowMicros: number;
  /** Locks of tags and manifests do not count; those of the repository, and rules for tags written once, do. */
  readonly ignoresLocks?: boolean | undefined;
};

/** A tag as somebody saw it. */
export type SeenTag = {
  readonly name: string;
  readonly digest: string;
  readonly changedAtMicros: number;
  /** It goes only if nobody has asked for it, by tag or digest, at or after this moment. */
  readonly pulledBeforeMicros?: number | undefined;
};

/** A manifest as somebody saw it, or as the policy for manifests without a tag has marked it. */
export type SeenManifest = {
  readonly digest: Digest;
  readonly changedAtMicros?: number;
  /** It goes only if it is still marked so, and due by the policy that holds now. */
  readonly markedSince?: number;
  /** As of a tag. */
  readonly pulledBeforeMicros?: number | undefined;
};

/** `stays`: it has a tag or is part of an index; `changed`: it is gone, or not what was seen any more. */
export type UntaggedOutcome = 'deleted' | 'stays' | 'changed';

/** What left with one deletion, and went along; `freedBytes` are no longer in use. */
export type Gone = {
  readonly tags: readonly string[];
  readonly manifests: readonly string[];
  readonly freedBytes: number;
};

/** What of a repository a deletion of the whole takes at once, and what is left alone: it came after the deletion began. */
export type Slice = { readonly limit: number; readonly startedMicros: number };

type Leaving = {
  readonly tags: string[];
  readonly manifests: string[];
  /** Blobs that its manifests referenced. */
  readonly unreferenced: Set<string>;
  manifestBytes: number;
};

const dayMicros = 86_400_000_000;

/**
 * Deletions in one repository within one transaction: the only way in which tags and manifests leave. Each checks the locks
 * and the rules for tags that are written once, and appends its event; `finish` frees what is no longer in use. Nobody else
 * changes the repository meanwhile, so what was looked at holds. Nothing that pushes to other repositories wait for is locked
 * before `finish`, which locks it in their order.
 */
export class Deletion {
  readonly #parts: DeletionParts;
  readonly #immutable: ImmutableTags;
  readonly #repositoryUid: string;
  readonly #tx: Transaction;
  /** Of deletions before the one that goes on. */
  readonly #before: Leaving[] = [];
  #gone = noneGone();
  readonly #keeps: boolean;
  readonly #cascade: ReferrerCascade;
  #removedManifests = 0;

  constructor(parts: DeletionParts) {
    this.#parts = parts;
    this.#immutable = immutableTagsOf(parts.change.registry, parts.place.repository);
    this.#repositoryUid = parts.repositoryUid;
    this.#tx = parts.change.tx;
    this.#keeps = parts.change.registry.keepsDeleted;
    this.#cascade = new ReferrerCascade({
      tx: this.#tx,
      repositoryUid: this.#repositoryUid,
      mayRemove: ({ name, locks }) =>
        !this.#immutable.keeps(name) && (parts.ignoresLocks === true || (locks & deletionLocks) === 0),
      removeTags: (rows) => this.#removeTags(rows),
      removeManifest: (digest) => this.#removeManifest(digest),
    });
  }

  /** Removes a tag; false when there is none. Throws `contentLocked`, `tagImmutable`. */
  async tag(tag: Tag): Promise<boolean> {
    const row = await this.#tags().where('name', '=', tag).select(['name', 'digest', 'locks']).executeTakeFirst();
    if (row === undefined) return false;
    this.#requireWritable();
    await this.#removeTags([row]);
    return true;
  }

  /** Removes a tag that still is what somebody saw; else false. Throws as `tag` does. */
  async unchangedTag({ name, digest, changedAtMicros, pulledBeforeMicros }: SeenTag): Promise<boolean> {
    const row = await this.#tags().where('name', '=', name).select(['digest', 'changed_at']).executeTakeFirst();
    if (row?.digest !== digest || row.changed_at !== changedAtMicros) return false;
    if (await this.#isPulledSince(pulledBeforeMicros, { digest, tag: name })) return false;
    return await this.tag(parseTag(name));
  }

  /** Removes a manifest that has no tag, is part of no index, and still is what somebody saw. Throws `contentLocked`. */
  async untaggedManifest(seen: SeenManifest): Promise<UntaggedOutcome> {
    const { digest } = seen;
    if (!(await this.#isAsSeen(seen))) return 'changed';
    const tag = await this.#tags().where('digest', '=', digest).select('name').limit(1).executeTakeFirst();
    if (tag !== undefined || (await this.#indexOf(digest)) !== undefined) return 'stays';
    return (await this.manifest(digest)) ? 'deleted' : 'changed';
  }

  /**
   * Removes a manifest with every tag on it; false when there is none. An index and the manifests it lists part: those stay.
   * Throws `contentLocked`, also for a lock on one of the tags; `tagImmutable`; `manifestReferenced` for part of an index.
   */
  async manifest(digest: Digest): Promise<boolean> {
    const row = await this.#manifests().where('digest', '=', digest).select('locks').executeTakeFirst();
    if (row === undefined) return false;
    this.#requireWritable();
    this.#requireManifest(digest, row.locks);
    const index = await this.#indexOf(digest);
    if (index !== undefined) throw new BerthError('manifestReferenced', { digest, index });
    await this.#requireTags(digest);
    await this.#removeManifest(digest);
    return true;
  }

  /**
   * Removes manifests that refer to `subject`, which is gone, and are there for nothing else: without a tag but for those of
   * cosign, which go too, a lock, or an index that lists them; and those that refer to these. At most about `limit`; whether
   * something may be left, which is kept for `moreReferrers` then.
   */
  async referrers(subject: Digest, limit: number): Promise<boolean> {
    const known = await leftReferrers(this.#tx, this.#repositoryUid, subject);
    const subjects = new Set([subject, ...(known?.subjects ?? [])]);
    const left = await this.#cascade.take([...subjects], limit);
    if (left.length + (known?.subjects.length ?? 0) === 0) return false;
    return await this.#keepLeft(subject, left, this.#parts.nowMicros);
  }

  /** Goes on with that; what was pushed since it began stays. */
  async moreReferrers(root: Digest, limit: number): Promise<boolean> {
    const known = await leftReferrers(this.#tx, this.#repositoryUid, root);
    if (known === undefined) return false;
    const left = await this.#cascade.take(known.subjects, limit, known.startedMicros);
    return await this.#keepLeft(root, left, known.startedMicros);
  }

  /** What leaves from here on is counted for the next of several deletions. */
  next(): void {
    this.#before.push(this.#gone);
    this.#gone = noneGone();
  }

  /** How many manifests it has removed. */
  get removedManifests(): number {
    return this.#removedManifests;
  }

  /** How many blobs `finish` will look at. */
  get releasedBlobs(): number {
    return [...this.#before, this.#gone].reduce((count, { unreferenced }) => count + unreferenced.size, 0);
  }

  async holdsManifest(): Promise<boolean> {
    return (await this.#manifests().select('digest').limit(1).executeTakeFirst()) !== undefined;
  }

  /** Throws `contentLocked` or `tagImmutable` when the repository or anything in it has to stay. */
  async requireAllDeletable(): Promise<void> {
    const { place, change } = this.#parts;
    requireOn({ repository: place.repository }, change.repositoryLocks, 'deleteEnabled', 'writeEnabled');
    const locked = await this.#manifests()
      .where(isKept('locks'))
      .select(['digest', 'locks'])
      .limit(1)
      .executeTakeFirst();
    if (locked !== undefined) this.#requireManifest(locked.digest, locked.locks);
    await this.#requireTags();
  }

  /** When the last tag or manifest came, by the clock of whoever pushed it. */
  async lastChangeMicros(): Promise<number> {
    const tag = await this.#tags()
      .select((on) => on.fn.max<number | null>('changed_at').as('at'))
      .executeTakeFirst();
    const manifest = await this.#manifests()
      .select((on) => on.fn.max<number | null>('changed_at').as('at'))
      .executeTakeFirst();
    return Math.max(tag?.at ?? 0, manifest?.at ?? 0);
  }

  /** Removes some tags of the whole; answers their names, none when nothing is left. */
  async tagSlice({ limit, startedMicros }: Slice): Promise<readonly string[]> {
    const rows = await this.#tags()
      .where('changed_at', '<=', startedMicros)
      .orderBy('name')
      .limit(limit)
      .select(['name', 'digest', 'locks'])
      .execute();
    await this.#removeTags(rows);
    return rows.map((row) => row.name);
  }

  /** Removes some manifests of the whole, parts of an index that goes too or not; answers their digests, none when nothing is left. */
  async manifestSlice({ limit, startedMicros }: Slice): Promise<readonly string[]> {
    const rows = await this.#manifests()
      .where('changed_at', '<=', startedMicros)
      .where((where) =>
        where.not(
          where.or([
            where.exists(this.#tags().where('tags.digest', '=', where.ref('manifests.digest')).select('name')),
            where.exists(this.#laterIndexes(startedMicros).where('x.digest', '=', where.ref('manifests.digest'))),
          ]),
        ),
      )
      .orderBy('digest')
      .limit(limit)
      .select(['digest', 'locks'])
      .execute();
    for (const { digest, locks } of rows) {
      this.#requireManifest(digest, locks);
      await this.#removeManifest(parseDigest(digest));
    }
    return rows.map((row) => row.digest);
  }

  /** Hides the blobs that no manifest here needs any more. */
  async unlinkBlobs(startedMicros: number): Promise<void> {
    await this.#tx
      .deleteFrom('blob_links')
      .where('repository_uid', '=', this.#repositoryUid)
      .where('created_at', '<=', startedMicros)
      .where((where) => where.not(isBlobHeld(where.ref('blob_links.repository_uid'), where.ref('blob_links.digest'))))
      .execute();
  }

  /** Counts what each deletion freed, and lets a repository go that holds nothing any more. Goes last. */
  async finish(): Promise<readonly Gone[]> {
    const all = [...this.#before, this.#gone];
    if (this.#removedManifests === 0) return all.map(({ tags, manifests }) => ({ tags, manifests, freedBytes: 0 }));
    const { kind, place, nowMicros } = this.#parts;
    const { registryUid } = place;
    if (!(await this.holdsManifest())) await this.#forgetRepository();
    // What several needed is freed by the last of them.
    const last = new Map<string, number>();
    for (const [index, { unreferenced }] of all.entries()) for (const digest of unreferenced) last.set(digest, index);
    const freed = await disuseBlobs(this.#tx, kind, { registryUid, digests: [...last.keys()], nowMicros });
    const gone = all.map(({ tags, manifests, unreferenced, manifestBytes }, index) => {
      const own = [...unreferenced].filter((digest) => last.get(digest) === index);
      const freedBytes = own.reduce((sum, digest) => sum + (freed.get(digest) ?? 0), manifestBytes);
      return { tags, manifests, freedBytes };
    });
    await subtractUsage(
      this.#tx,
      registryUid,
      gone.reduce((sum, { freedBytes }) => sum + freedBytes, 0),
    );
    return gone;
  }

  #tags() {
    return this.#tx.selectFrom('tags').where('repository_uid', '=', this.#repositoryUid);
  }

  #manifests() {
    return this.#tx.selectFrom('manifests').where('repository_uid', '=', this.#repositoryUid);
  }

  #references() {
    return this.#tx.selectFrom('manifest_references').where('repository_uid', '=', this.#repositoryUid);
  }

  /** What manifests list that came after a deletion of the whole began. */
  #laterIndexes(startedMicros: number) {
    return this.#tx
      .selectFrom('manifest_references as x')
      .innerJoin('manifests as p', (join) =>
        join.onRef('p.repository_uid', '=', 'x.repository_uid').onRef('p.digest', '=', 'x.manifest_digest'),
      )
      .where('x.repository_uid', '=', this.#repositoryUid)
      .where('x.kind', '=', 'manifest')
      .where('p.changed_at', '>', startedMicros)
      .select('x.digest');
  }

  async #isPulledSince(
    sinceMicros: number | undefined,
    seen: { readonly digest: string; readonly tag?: string },
  ): Promise<boolean> {
    if (sinceMicros === undefined) return false;
    const pulledAt = await lastPulled(this.#tx, { repositoryUid: this.#repositoryUid, ...seen });
    return pulledAt >= sinceMicros;
  }

  async #isAsSeen({ digest, changedAtMicros, markedSince, pulledBeforeMicros }: SeenManifest): Promise<boolean> {
    const row = await this.#manifests().where('digest', '=', digest).select('changed_at').executeTakeFirst();
    if (row === undefined) return false;
    if (changedAtMicros !== undefined && row.changed_at !== changedAtMicros) return false;
    if (await this.#isPulledSince(pulledBeforeMicros, { digest })) return false;
    return markedSince === undefined || (await this.#isDue(digest, markedSince));
  }

  async #isDue(digest: Digest, markedSince: number): Promise<boolean> {
    const { change, nowMicros } = this.#parts;
    const { retentionDays } = change.registry;
    if (retentionDays === null || markedSince > nowMicros - retentionDays * dayMicros) return false;
    const mark = await this.#tx
      .selectFrom('untagged_manifests')
      .where('repository_uid', '=', this.#repositoryUid)
      .where('digest', '=', digest)
      .select('since')
      .executeTakeFirst();
    return mark?.since === markedSince;
  }

  /** One that lists the manifest. */
  async #indexOf(digest: Digest): Promise<string | undefined> {
    const row = await this.#references()
      .where('digest', '=', digest)
      .where('kind', '=', 'manifest')
      .select('manifest_digest')
      .limit(1)
      .executeTakeFirst();
    return row?.manifest_digest;
  }

  #requireWritable(): void {
    const { place, change } = this.#parts;
    requireOn({ repository: place.repository }, change.repositoryLocks, 'writeEnabled');
  }

  #requireManifest(digest: string, locks: Locks): void {
    if (this.#parts.ignoresLocks === true) return;
    requireOn({ repository: this.#parts.place.repository, digest }, locks, 'writeEnabled', 'deleteEnabled');
  }

  #requireTag(tag: string, locks: Locks): void {
    if (this.#parts.ignoresLocks !== true)
      requireOn({ repository: this.#parts.place.repository, tag }, locks, 'writeEnabled', 'deleteEnabled');
    this.#immutable.refuseDeletion(tag);
  }

  /** Of one manifest, or of all. Every tag is looked at only where rules may keep some. */
  async #requireTags(digest?: Digest): Promise<void> {
    const all = this.#tags().select(['name', 'locks']);
    const tags = digest === undefined ? all : all.where('digest', '=', digest);
    const rows = this.#immutable.keepsSome
      ? await tags.execute()
      : await tags.where(isKept('locks')).limit(1).execute();
    for (const { name, locks } of rows) this.#requireTag(name, locks);
  }

  async #removeTags(rows: readonly { readonly name: string; readonly digest: string; readonly locks: Locks }[]) {
    for (const { name, locks } of rows) this.#requireTag(name, locks);
    if (rows.length === 0) return;
    const names = rows.map((row) => row.name);
    await this.#tx
      .deleteFrom('tags')
      .where('repository_uid', '=', this.#repositoryUid)
      .where('name', 'in', names)
      .execute();
    await this.#keepTags(rows);
    for (const { name, digest } of rows) this.#append('tag.deleted', { tag: parseTag(name), digest });
    this.#gone.tags.push(...names);
    await this.#markUntagged(rows.map((row) => row.digest));
  }

  async #removeManifest(digest: Digest): Promise<void> {
    const { artifactType, ...last } = await this.#manifests()
      .where('digest', '=', digest)
      .select(['media_type as mediaType', 'size as sizeBytes', 'artifact_type as artifactType'])
      .executeTakeFirstOrThrow();
    const tags = await this.#tx
      .deleteFrom('tags')
      .where('repository_uid', '=', this.#repositoryUid)
      .where('digest', '=', digest)
      .returning('name')
      .execute();
    const children = await this.#references()
      .where('manifest_digest', '=', digest)
      .where('kind', '=', 'manifest')
      .select('digest')
      .execute();
    await this.#markUntagged(children.map((child) => child.digest));
    this.#removedManifests += 1;
    await this.#keepTags(tags.map(({ name }) => ({ name, digest })));
    // A copy that is kept uses what the manifest used; a second copy is none.
    const isKept = this.#keeps && (await keepManifest(this.#tx, this.#at(digest), this.#parts.nowMicros));
    const blobs = await deleteManifest(this.#tx, this.#repositoryUid, digest);
    if (!isKept) {
      this.#gone.manifestBytes += last.sizeBytes;
      for (const blob of blobs) this.#gone.unreferenced.add(blob);
    }
    this.#gone.manifests.push(digest);
    const type = artifactType === null ? {} : { artifactType };
    this.#append('manifest.deleted', { digest, ...last, ...type, tags: tags.map((tag) => tag.name) });
  }

  async #keepTags(tags: readonly { readonly name: string; readonly digest: string }[]): Promise<void> {
    if (this.#keeps) await keepTags(this.#tx, this.#repositoryUid, tags, this.#parts.nowMicros);
  }

  #at(digest: Digest) {
    return { repositoryUid: this.#repositoryUid, digest };
  }

  async #markUntagged(digests: readonly string[]): Promise<void> {
    const { change, place, nowMicros } = this.#parts;
    if (change.registry.retentionDays === null) return;
    const at = { registryUid: place.registryUid, repositoryUid: this.#repositoryUid };
    await markUntagged(this.#tx, at, [...new Set(digests)], nowMicros);
  }

  async #keepLeft(root: Digest, subjects: readonly Digest[], startedMicros: number): Promise<boolean> {
    const { place, repositoryUid, nowMicros } = this.#parts;
    await keepLeftReferrers(this.#tx, { place, repositoryUid, root, subjects, startedMicros }, nowMicros);
    return subjects.length > 0;
  }

  /** The row stays for blobs that are being pushed; its name shows again with the next manifest, as a new repository. */
  async #forgetRepository(): Promise<void> {
    const { nowMicros, place } = this.#parts;
    const { locks, immutableTags } = await repositoryBeginning(this.#tx, place);
    await this.#tx
      .updateTable('repositories')
      .set({ locks, immutable_tags: immutableTags, created_at: nowMicros, changed_at: nowMicros })
      .where('uid', '=', this.#repositoryUid)
      .execute();
    this.#append('repository.deleted', {});
  }

  #append(type: string, data: Readonly<Record<string, unknown>>): void {
    const { change, event } = this.#parts;
    change.append(event(type, data));
  }
}

/** What left with one deletion so far. */
function noneGone(): Leaving {
  return { tags: [], manifests: [], unreferenced: new Set(), manifestBytes: 0 };
}
