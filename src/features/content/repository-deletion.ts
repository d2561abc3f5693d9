import { parseDigest } from '../../core/digest.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { isBlobHeld } from './deleted-content.ts';
import type { DeletionGuard } from './deletion-guard.ts';
import type { Removal } from './removal.ts';
import { RepositoryRows } from './repository-rows.ts';

export type RepositoryDeletionParts = {
  readonly tx: Transaction;
  readonly repositoryUid: string;
  readonly guard: DeletionGuard;
  readonly removal: Removal;
};

/** What of a repository a deletion of the whole takes at once, and what is left alone: it came after the deletion began. */
export type Slice = { readonly limit: number; readonly startedMicros: number };

/** Deletes everything in a repository, tags first, some of it in each transaction. */
export class RepositoryDeletion {
  readonly #parts: RepositoryDeletionParts;
  readonly #rows: RepositoryRows;

  constructor(parts: RepositoryDeletionParts) {
    this.#parts = parts;
    this.#rows = new RepositoryRows(parts.tx, parts.repositoryUid);
  }

  async holdsManifest(): Promise<boolean> {
    return (await this.#rows.manifests().select('digest').limit(1).executeTakeFirst()) !== undefined;
  }

  /** Throws `contentLocked` or `tagImmutable` when the repository or anything in it has to stay. */
  async requireAllDeletable(): Promise<void> {
    await this.#parts.guard.requireAll();
  }

  /** When the last tag or manifest came, by the clock of whoever pushed it. */
  async lastChangeMicros(): Promise<number> {
    const tag = await this.#rows
      .tags()
      .select((on) => on.fn.max<number | null>('changed_at').as('at'))
      .executeTakeFirst();
    const manifest = await this.#rows
      .manifests()
      .select((on) => on.fn.max<number | null>('changed_at').as('at'))
      .executeTakeFirst();
    return Math.max(tag?.at ?? 0, manifest?.at ?? 0);
  }

  /** Removes some tags; answers their names, none when nothing is left. Throws `contentLocked`, `tagImmutable`. */
  async tagSlice({ limit, startedMicros }: Slice): Promise<readonly string[]> {
    const { guard, removal } = this.#parts;
    const rows = await this.#rows
      .tags()
      .where('changed_at', '<=', startedMicros)
      .orderBy('name')
      .limit(limit)
      .select(['name', 'digest', 'locks'])
      .execute();
    for (const row of rows) guard.requireTag(row);
    await removal.tags(rows);
    return rows.map((row) => row.name);
  }

  /**
   * Removes some manifests, parts of an index that goes too or not; answers their digests, none when nothing is left.
   * Throws `contentLocked`.
   */
  async manifestSlice({ limit, startedMicros }: Slice): Promise<readonly string[]> {
    const { guard, removal } = this.#parts;
    const rows = await this.#rows
      .manifests()
      .where('changed_at', '<=', startedMicros)
      .where((where) =>
        where.not(
          where.or([
            where.exists(this.#rows.tags().where('tags.digest', '=', where.ref('manifests.digest')).select('name')),
            where.exists(this.#laterIndexes(startedMicros).where('x.digest', '=', where.ref('manifests.digest'))),
          ]),
        ),
      )
      .orderBy('digest')
      .limit(limit)
      .select(['digest', 'locks'])
      .execute();
    for (const { digest, locks } of rows) guard.requireManifest(digest, locks);
    await removal.manifests(rows.map(({ digest }) => parseDigest(digest)));
    return rows.map((row) => row.digest);
  }

  /**
   * Looks at some blobs after `last`, and hides those that no manifest here needs any more. Answers the last that it looked at;
   * undefined when there are no others.
   */
  async blobSlice({ limit, startedMicros }: Slice, last: string): Promise<string | undefined> {
    const { tx, repositoryUid } = this.#parts;
    const some = await tx
      .selectFrom('blob_links')
      .where('repository_uid', '=', repositoryUid)
      .where('digest', '>', last)
      .orderBy('digest')
      .limit(limit)
      .select('digest')
      .execute();
    const end = some.at(-1)?.digest;
    if (end === undefined) return undefined;
    await tx
      .deleteFrom('blob_links')
      .where('repository_uid', '=', repositoryUid)
      .where('digest', '>', last)
      .where('digest', '<=', end)
      .where('created_at', '<=', startedMicros)
      .where((where) => where.not(isBlobHeld(where.ref('blob_links.repository_uid'), where.ref('blob_links.digest'))))
      .execute();
    return some.length < limit ? undefined : end;
  }

  /** What manifests list that came after the deletion began. */
  #laterIndexes(startedMicros: number) {
    const { tx, repositoryUid } = this.#parts;
    return tx
      .selectFrom('manifest_references as x')
      .innerJoin('manifests as p', (join) =>
        join.onRef('p.repository_uid', '=', 'x.repository_uid').onRef('p.digest', '=', 'x.manifest_digest'),
      )
      .where('x.repository_uid', '=', repositoryUid)
      .where('x.kind', '=', 'manifest')
      .where('p.changed_at', '>', startedMicros)
      .select('x.digest');
  }
}
