import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import { parseTag } from '../../core/reference.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotStatement } from '../../platform/database/hot-query.ts';
import type { Answer } from '../../platform/database/send-ahead.ts';
import { isKept, type Locks } from './attributes.ts';
import type { Change } from './authorized-change.ts';
import type { EventOf } from './content-events.ts';
import { keepManifests, keepTags } from './deleted-content.ts';
import { deleteManifests, deleteTagsOn } from './manifest-deletion.ts';
import type { Place } from './place.ts';
import { RepositoryRows } from './repository-rows.ts';
import { beginningIn } from './repository-templates.ts';
import { disuseBlobs } from './storage-use.ts';
import { markUntagged } from './untagged-marks.ts';

/** What a change of one repository works with, within its transaction. */
export type RepositoryChangeParts = {
  readonly kind: Database['kind'];
  readonly place: Place;
  /** An exclusive one. */
  readonly change: Change;
  /** Of the repository, which exists. */
  readonly repositoryUid: string;
  readonly event: EventOf;
  readonly nowMicros: number;
};

/** What left with one deletion, and went along; `freedBytes` are no longer in use. */
export type Gone = {
  readonly tags: readonly string[];
  readonly manifests: readonly string[];
  readonly freedBytes: number;
};

/** What left with one deletion so far. */
type Leaving = {
  readonly tags: string[];
  readonly manifests: string[];
  /** Blobs that its manifests referenced. */
  readonly unreferenced: Set<string>;
  manifestBytes: number;
};

type TagRow = { readonly name: string; readonly digest: string };

/**
 * Takes rows of tags and manifests away, with their events, keeps what can be restored, and counts what came out of use. What
 * may be deleted is not asked here: `Deletion` does. Nothing that pushes to other repositories wait for is locked before
 * `finish`, which locks it in their order.
 */
export class Removal {
  readonly #parts: RepositoryChangeParts;
  readonly #tx: Transaction;
  readonly #rows: RepositoryRows;
  /** Of deletions before the one that goes on. */
  readonly #before: Leaving[] = [];
  #gone = noneGone();
  #removedManifests = 0;
  /** What the repository begins anew with, where the last manifests that left were all it held. */
  #begunAgain: Answer<{ readonly locks: Locks; readonly ownImmutableTags: string }> | undefined;

  constructor(parts: RepositoryChangeParts) {
    this.#parts = parts;
    this.#tx = parts.change.tx;
    this.#rows = new RepositoryRows(this.#tx, parts.repositoryUid);
  }

  /** How many manifests it has taken. */
  get removedManifests(): number {
    return this.#removedManifests;
  }

  /** How many blobs `finish` will look at. */
  get releasedBlobs(): number {
    return this.#all().reduce((count, { unreferenced }) => count + unreferenced.size, 0);
  }

  /** What leaves from here on is counted for the next of several deletions. */
  next(): void {
    this.#before.push(this.#gone);
    this.#gone = noneGone();
  }

  async tags(rows: readonly TagRow[]): Promise<void> {
    if (rows.length === 0) return;
    const names = rows.map((row) => row.name);
    await this.#tx
      .deleteFrom('tags')
      .where('repository_uid', '=', this.#parts.repositoryUid)
      .where('name', 'in', names)
      .execute();
    await this.#keepTags(rows);
    for (const { name, digest } of rows) this.#append('tag.deleted', { tag: parseTag(name), digest });
    this.#gone.tags.push(...names);
    await this.#markUntagged(rows.map((row) => row.digest));
  }

  /** Whether what leaves with a manifest is decided by statements alone: nothing else is read on the way. */
  get isPlain(): boolean {
    const { retentionDays, keepsDeleted } = this.#parts.change.registry;
    return retentionDays === null && !keepsDeleted;
  }

  /**
   * With every tag on them. Each is there, and given once; an index and what it lists may be among them. `mayLeave` waits for what was
   * asked before; where that says no, the transaction has to be undone.
   */
  async manifests(digests: readonly Digest[], mayLeave = async () => true): Promise<boolean> {
    if (digests.length === 0) return true;
    const { repositoryUid, change, nowMicros } = this.#parts;
    const { retentionDays, keepsDeleted } = change.registry;
    const tagsGone = await deleteTagsOn(this.#tx, repositoryUid, digests);
    if (retentionDays !== null) await this.#markUntagged(await this.#leftBehind(digests));
    if (keepsDeleted) await this.#keepTags(await tagsGone());
    const kept = keepsDeleted ? await keepManifests(this.#tx, { repositoryUid, digests }, nowMicros) : none;
    const manifestsGone = await deleteManifests(this.#tx, repositoryUid, digests);
    this.#begunAgain = await beginAgain.ahead(this.#tx, { repository: repositoryUid, now: nowMicros });
    if (!(await mayLeave())) return false;
    this.#removedManifests += digests.length;
    const tagsOf = Map.groupBy(await tagsGone(), (tag) => tag.digest);
    const found = await manifestsGone();
    for (const digest of digests) {
      const row = found.get(digest);
      if (row === undefined) throw new Error(`a manifest to delete is not there: ${digest}`);
      const { mediaType, sizeBytes, artifactType, blobs } = row;
      // A copy that is kept uses what the manifest used; a second copy is none.
      if (!kept.has(digest)) this.#release(sizeBytes, blobs);
      this.#gone.manifests.push(digest);
      const type = artifactType === null ? {} : { artifactType };
      const names = (tagsOf.get(digest) ?? []).map(({ name }) => name);
      this.#append('manifest.deleted', { digest, mediaType, sizeBytes, ...type, tags: names });
    }
    return true;
  }

  /** Counts what each deletion freed, and lets a repository go that holds nothing any more. Goes last; answers as `sendAhead`. */
  async finish(): Promise<() => Promise<readonly Gone[]>> {
    const all = this.#all();
    if (this.#removedManifests === 0)
      return async () => all.map(({ tags, manifests }) => ({ tags, manifests, freedBytes: 0 }));
    const { kind, place, change, nowMicros } = this.#parts;
    const { registryUid } = place;
    const [begunAgain] = (await this.#begunAgain?.()) ?? [];
    if (begunAgain !== undefined) {
      change.rewritten(async () => ({ ...begunAgain, changedAt: nowMicros }));
      this.#append('repository.deleted', {});
    }
    const digests = [...new Set(all.flatMap(({ unreferenced }) => [...unreferenced]))];
    const bytes = all.reduce((sum, { manifestBytes }) => sum + manifestBytes, 0);
    const freed = await disuseBlobs(this.#tx, kind, { registryUid, digests, bytes, nowMicros });
    return async () => goneOf(all, await freed());
  }

  /** What may be there for nothing once these are gone: what they list, and what refers to them and stays because it is locked. */
  async #leftBehind(digests: readonly Digest[]): Promise<readonly string[]> {
    const parts = await this.#rows
      .references()
      .where('manifest_digest', 'in', digests)
      .where('kind', '=', 'manifest')
      .select('digest')
      .execute();
    const locked = await this.#rows
      .manifests()
      .where('subject_digest', 'in', digests)
      .where(isKept('locks'))
      .select('digest')
      .execute();
    return [...parts, ...locked].map(({ digest }) => digest);
  }

  #release(manifestBytes: number, blobs: readonly string[]): void {
    this.#gone.manifestBytes += manifestBytes;
    for (const blob of blobs) this.#gone.unreferenced.add(blob);
  }

  #all(): readonly Leaving[] {
    return [...this.#before, this.#gone];
  }

  async #keepTags(tags: readonly TagRow[]): Promise<void> {
    const { change, repositoryUid, nowMicros } = this.#parts;
    if (change.registry.keepsDeleted) await keepTags(this.#tx, repositoryUid, tags, nowMicros);
  }

  async #markUntagged(digests: readonly string[]): Promise<void> {
    const { change, place, repositoryUid, nowMicros } = this.#parts;
    if (change.registry.retentionDays === null) return;
    await markUntagged(this.#tx, { registryUid: place.registryUid, repositoryUid }, [...new Set(digests)], nowMicros);
  }

  #append(type: string, data: Readonly<Record<string, unknown>>): void {
    const { change, event } = this.#parts;
    change.append(event(type, data));
  }
}

/** The row of a repository that holds nothing stays for blobs that are being pushed; its name shows again with the next manifest, as a new repository. */
const beginAgain = hotStatement(['repository', 'now'], (on, parameter) =>
  on
    .updateTable('repositories')
    .set({
      created_at: parameter('now'),
      changed_at: parameter('now'),
      ...beginningIn(sql.ref('repositories.registry_uid'), sql.ref('repositories.name')),
    })
    .where('uid', '=', parameter<string>('repository'))
    .where((where) =>
      where.not(
        where.exists(
          on.selectFrom('manifests').where('repository_uid', '=', parameter<string>('repository')).select('digest'),
        ),
      ),
    )
    .returning(['locks', 'immutable_tags as ownImmutableTags']),
);

const none: ReadonlySet<string> = new Set();

function noneGone(): Leaving {
  return { tags: [], manifests: [], unreferenced: new Set(), manifestBytes: 0 };
}

/** `freed` has the bytes of each blob that is no longer in use. What several deletions needed is freed by the last of them. */
function goneOf(all: readonly Leaving[], freed: ReadonlyMap<string, number>): readonly Gone[] {
  const last = new Map<string, number>();
  for (const [index, { unreferenced }] of all.entries()) for (const digest of unreferenced) last.set(digest, index);
  return all.map(({ tags, manifests, unreferenced, manifestBytes }, index) => {
    const own = [...unreferenced].filter((digest) => last.get(digest) === index);
    const freedBytes = own.reduce((sum, digest) => sum + (freed.get(digest) ?? 0), manifestBytes);
    return { tags, manifests, freedBytes };
  });
}
