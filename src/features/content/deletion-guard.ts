import { hotStatement } from '../../platform/database/hot-query.ts';
import { deletionLocks, isKept, type Locks, requireOn } from './attributes.ts';
import type { Change } from './authorized-change.ts';
import { type ImmutableTags, immutableTagsOf } from './immutable-tags.ts';
import type { Place } from './place.ts';
import { RepositoryRows } from './repository-rows.ts';

export type DeletionGuardParts = {
  readonly place: Place;
  /** An exclusive one: what was looked at holds until its commit. */
  readonly change: Change;
  readonly repositoryUid: string;
  /** Locks of tags and manifests do not count; those of the repository, and rules for tags written once, do. */
  readonly ignoresLocks?: boolean | undefined;
};

/** What of a repository may be deleted: locks, and the rules for tags that are written once. Source: ACR semantics, 4.3. */
export class DeletionGuard {
  readonly #parts: DeletionGuardParts;
  readonly #immutable: ImmutableTags;
  readonly #rows: RepositoryRows;

  constructor(parts: DeletionGuardParts) {
    this.#parts = parts;
    this.#immutable = immutableTagsOf(parts.change.registry, parts.place.repository);
    this.#rows = new RepositoryRows(parts.change.tx, parts.repositoryUid);
  }

  /** Throws `contentLocked`. */
  requireWritable(): void {
    const { place, change } = this.#parts;
    requireOn({ repository: place.repository }, change.repositoryLocks, 'writeEnabled');
  }

  /** Throws `contentLocked`. */
  requireManifest(digest: string, locks: Locks): void {
    if (this.#parts.ignoresLocks === true) return;
    requireOn({ repository: this.#parts.place.repository, digest }, locks, 'writeEnabled', 'deleteEnabled');
  }

  /** Throws `contentLocked`, `tagImmutable`. */
  requireTag({ name, locks }: { readonly name: string; readonly locks: Locks }): void {
    if (this.#parts.ignoresLocks !== true)
      requireOn({ repository: this.#parts.place.repository, tag: name }, locks, 'writeEnabled', 'deleteEnabled');
    this.#immutable.refuseDeletion(name);
  }

  /** The same as an answer. */
  mayRemoveTag({ name, locks }: { readonly name: string; readonly locks: Locks }): boolean {
    return !this.#immutable.keeps(name) && (this.#parts.ignoresLocks === true || (locks & deletionLocks) === 0);
  }

  /** Whether `askForTags` looks at the tags only when its answer is waited for. */
  get asksForEachTag(): boolean {
    return this.#immutable.keepsSome;
  }

  /**
   * Asks for the tags on a manifest, as `sendAhead`. They are looked at one by one only where rules may keep some. The answer
   * throws `contentLocked`, `tagImmutable`.
   */
  async askForTags(digest: string): Promise<() => Promise<void>> {
    const { repositoryUid: repository, change } = this.#parts;
    if (this.#immutable.keepsSome) return async () => await this.#requireTags(digest);
    const kept = await keptTag.ahead(change.tx, { repository, digest });
    return async () => (await kept()).forEach((row) => void this.requireTag(row));
  }

  /** The repository and everything in it. Throws `contentLocked`, `tagImmutable`. */
  async requireAll(): Promise<void> {
    const { place, change } = this.#parts;
    requireOn({ repository: place.repository }, change.repositoryLocks, 'deleteEnabled', 'writeEnabled');
    const locked = await this.#rows
      .manifests()
      .where(isKept('locks'))
      .select(['digest', 'locks'])
      .limit(1)
      .executeTakeFirst();
    if (locked !== undefined) this.requireManifest(locked.digest, locked.locks);
    await this.#requireTags();
  }

  async #requireTags(digest?: string): Promise<void> {
    const all = this.#rows.tags().select(['name', 'locks']);
    const tags = digest === undefined ? all : all.where('digest', '=', digest);
    const rows = this.#immutable.keepsSome
      ? await tags.execute()
      : await tags.where(isKept('locks')).limit(1).execute();
    for (const row of rows) this.requireTag(row);
  }
}

/** One that a lock keeps. */
const keptTag = hotStatement(['repository', 'digest'], (on, parameter) =>
  on
    .selectFrom('tags')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', '=', parameter<string>('digest'))
    .where(isKept('locks'))
    .select(['name', 'locks'])
    .limit(1),
);
