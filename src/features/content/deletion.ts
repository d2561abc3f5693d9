import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseTag, type Tag } from '../../core/reference.ts';
import { hotStatement } from '../../platform/database/hot-query.ts';
import { isManifestAsSeen, isTagAsSeen, type SeenManifest, type SeenTag } from './as-seen.ts';
import { DeletionGuard, type DeletionGuardParts } from './deletion-guard.ts';
import { keepLeftReferrers, leftReferrers } from './left-referrers.ts';
import { askWhetherReferred, referredIn } from './referred-subjects.ts';
import { ReferrerCascade } from './referrer-cascade.ts';
import { type Gone, Removal, type RepositoryChangeParts } from './removal.ts';
import { RepositoryDeletion } from './repository-deletion.ts';
import { RepositoryRows } from './repository-rows.ts';
import { touchRepository } from './repository-store.ts';

export type DeletionParts = RepositoryChangeParts & DeletionGuardParts;

/** `stays`: it has a tag, is part of an index, or was marked and refers to what is here; `changed`: it is gone, or not what was seen any more. */
export type UntaggedOutcome = 'deleted' | 'stays' | 'changed';

/**
 * Deletions in one repository within one transaction: the only way in which tags and manifests leave. Each checks the locks
 * and the rules for tags that are written once, and appends its event; `finish` frees what is no longer in use. Nobody else
 * changes the repository meanwhile, so what was looked at holds.
 */
export class Deletion {
  readonly #parts: DeletionParts;
  readonly #rows: RepositoryRows;
  readonly #guard: DeletionGuard;
  readonly #removal: Removal;
  readonly #cascade: ReferrerCascade;
  /** Of manifests that were taken, asked while nothing had changed. */
  readonly #isReferred = new Map<Digest, () => Promise<boolean>>();
  /** Of everything in the repository. */
  readonly repository: RepositoryDeletion;

  constructor(parts: DeletionParts) {
    const { repositoryUid } = parts;
    const { tx } = parts.change;
    const rows = new RepositoryRows(tx, repositoryUid);
    const guard = new DeletionGuard(parts);
    const removal = new Removal(parts);
    this.#parts = parts;
    this.#rows = rows;
    this.#guard = guard;
    this.#removal = removal;
    this.#cascade = new ReferrerCascade({
      rows,
      referred: referredIn(tx, parts.kind, repositoryUid),
      mayRemove: (tag) => guard.mayRemoveTag(tag),
      removeTags: (tags) => removal.tags(tags),
      removeManifests: async (digests) => void (await removal.manifests(digests)),
    });
    this.repository = new RepositoryDeletion({ tx, repositoryUid, guard, removal });
  }

  /** Removes a tag; false when there is none. Throws `contentLocked`, `tagImmutable`. */
  async tag(tag: Tag): Promise<boolean> {
    const row = await this.#rows.tags().where('name', '=', tag).select(['name', 'digest', 'locks']).executeTakeFirst();
    if (row === undefined) return false;
    this.#guard.requireWritable();
    this.#guard.requireTag(row);
    await this.#removal.tags([row]);
    return true;
  }

  /** Removes a tag that still is what somebody saw; else false. Throws as `tag` does. */
  async unchangedTag(seen: SeenTag): Promise<boolean> {
    return (await isTagAsSeen(this.#parts, seen)) && (await this.tag(parseTag(seen.name)));
  }

  /**
   * Removes a manifest that has no tag, is part of no index, and still is what somebody saw; one that the policy has marked only
   * if it refers to nothing that is here. Throws `contentLocked`.
   */
  async untaggedManifest(seen: SeenManifest): Promise<UntaggedOutcome> {
    const { digest } = seen;
    if (!(await isManifestAsSeen(this.#parts, seen))) return 'changed';
    const tag = await this.#rows.tags().where('digest', '=', digest).select('name').limit(1).executeTakeFirst();
    if (tag !== undefined || (await this.#indexOf(digest)) !== undefined) return 'stays';
    // Purges and rules decide for themselves what goes before its subject.
    if (seen.markedSince !== undefined && (await this.#hasSubject(digest))) return 'stays';
    return (await this.manifest(digest)) ? 'deleted' : 'changed';
  }

  /**
   * Removes a manifest with every tag on it; false when there is none. An index and the manifests it lists part: those stay.
   * Throws `contentLocked`, also for a lock on one of the tags; `tagImmutable`; `manifestReferenced` for part of an index. Where it
   * `isAlone`, a throw undoes the transaction, and the database is not waited for before it takes the manifest away.
   */
  async manifest(digest: Digest, isAlone = false): Promise<boolean> {
    const { change, kind, repositoryUid: repository } = this.#parts;
    const found = await manifestLocks.ahead(change.tx, { repository, digest });
    const listing = await indexOf.ahead(change.tx, { repository, digest });
    const requireTags = await this.#guard.askForTags(digest);
    this.#isReferred.set(digest, await askWhetherReferred(change.tx, repository, digest));
    const isThere = async () => {
      const [row] = await found();
      if (row === undefined) return false;
      this.#guard.requireWritable();
      this.#guard.requireManifest(digest, row.locks);
      const [index] = await listing();
      if (index !== undefined) throw new BerthError('manifestReferenced', { digest, index: index.manifest_digest });
      await requireTags();
      return true;
    };
    const asksAlong = isAlone && kind === 'postgres' && this.#removal.isPlain && !this.#guard.asksForEachTag;
    if (asksAlong) return await this.#removal.manifests([digest], isThere);
    return (await isThere()) && (await this.#removal.manifests([digest]));
  }

  /**
   * Removes manifests that refer to `subject`, which is gone, and are there for nothing else: without a tag but for those of
   * cosign, which go too, a lock, or an index that lists them; and those that refer to these. At most about `limit`; whether
   * something may be left, which is kept for `moreReferrers` then.
   */
  async referrers(subject: Digest, limit: number): Promise<boolean> {
    const { change, repositoryUid, nowMicros } = this.#parts;
    const isReferred = this.#isReferred.get(subject) ?? (await askWhetherReferred(change.tx, repositoryUid, subject));
    if (!(await isReferred())) return false;
    const known = await leftReferrers(change.tx, repositoryUid, subject);
    const subjects = new Set([subject, ...(known?.subjects ?? [])]);
    const left = await this.#cascade.take([...subjects], limit);
    if (left.length + (known?.subjects.length ?? 0) === 0) return false;
    if (left.length > 0) await this.beginSlices();
    return await this.#keepLeft(subject, left, nowMicros);
  }

  /** Goes on with that; what was pushed since it began stays. */
  async moreReferrers(root: Digest, limit: number): Promise<boolean> {
    const { change, repositoryUid } = this.#parts;
    const known = await leftReferrers(change.tx, repositoryUid, root);
    if (known === undefined) return false;
    const left = await this.#cascade.take(known.subjects, limit, known.startedMicros);
    return await this.#keepLeft(root, left, known.startedMicros);
  }

  /** This is the first of several transactions; what is pushed after it stays. As `sendAhead`. */
  async beginSlices(): Promise<void> {
    await touchRepository(this.#parts.change, this.#parts.nowMicros);
  }

  /** What leaves from here on is counted for the next of several deletions. */
  next(): void {
    this.#removal.next();
  }

  /** How many manifests it has removed. */
  get removedManifests(): number {
    return this.#removal.removedManifests;
  }

  /** How many blobs `finish` will look at. */
  get releasedBlobs(): number {
    return this.#removal.releasedBlobs;
  }

  /** What each deletion took and freed, as `sendAhead`. Goes last. */
  async finish(): Promise<() => Promise<readonly Gone[]>> {
    return await this.#removal.finish();
  }

  /** One that lists the manifest. */
  async #indexOf(digest: Digest): Promise<string | undefined> {
    const { change, repositoryUid: repository } = this.#parts;
    return (await indexOf(change.tx, { repository, digest }))?.manifest_digest;
  }

  /** Whether it refers to a manifest that is here: it leaves with that one. */
  async #hasSubject(digest: Digest): Promise<boolean> {
    const own = this.#rows.manifests().where('digest', '=', digest).select('subject_digest');
    const subject = await this.#rows.manifests().where('digest', 'in', own).select('digest').executeTakeFirst();
    return subject !== undefined;
  }

  async #keepLeft(root: Digest, subjects: readonly Digest[], startedMicros: number): Promise<boolean> {
    const { change, place, repositoryUid, nowMicros } = this.#parts;
    await keepLeftReferrers(change.tx, { place, repositoryUid, root, subjects, startedMicros }, nowMicros);
    return subjects.length > 0;
  }
}

const manifestLocks = hotStatement(['repository', 'digest'], (on, parameter) =>
  on
    .selectFrom('manifests')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', '=', parameter<string>('digest'))
    .select('locks'),
);

const indexOf = hotStatement(['repository', 'digest'], (on, parameter) =>
  on
    .selectFrom('manifest_references')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', '=', parameter<string>('digest'))
    .where('kind', '=', 'manifest')
    .select('manifest_digest')
    .limit(1),
);
