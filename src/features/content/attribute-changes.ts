import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Tag } from '../../core/reference.ts';
import type { Authority } from '../access/authority.ts';
import { type AttributeName, attributesOf, type Locks, withAttributes } from './attributes.ts';
import type { Change } from './authorized-change.ts';
import { type EventOf, eventsOf } from './content-events.ts';
import type { ContentParts } from './content-parts.ts';
import type { Place } from './place.ts';
import { changeQuarantine, type QuarantineChange } from './quarantine-state.ts';

export type AttributeChangesParts = Pick<ContentParts, 'change'> & {
  /** Region of origin of what is written here. */
  readonly region: string;
};

/** Attributes to set; those left out stay. */
export type AttributeChange = { readonly [name in AttributeName]?: boolean | undefined };

export type ManifestChange = AttributeChange & { readonly quarantine?: QuarantineChange };

/** The journal keeps what it is told: a manifest may have any number of tags, and is spoken of often. */
const mostTagsTold = 1_000;

type Work = (change: Change & { readonly repositoryUid: string }, event: EventOf) => Promise<void>;

/**
 * Sets the attributes of a repository, a manifest or a tag. That a lock is on hinders none of it: a lock can always be undone.
 * Source: ACR semantics, 4.3.
 */
export class AttributeChanges {
  readonly #parts: AttributeChangesParts;

  constructor(parts: AttributeChangesParts) {
    this.#parts = parts;
  }

  /** Throws `nameUnknown`. */
  async repository(place: Place, authority: Authority, attributes: AttributeChange): Promise<void> {
    await this.#change(place, authority, async ({ tx, append, repositoryUid, repositoryLocks, rewritten }, event) => {
      const locks = changed(repositoryLocks, attributes);
      if (locks === undefined) return;
      await tx.updateTable('repositories').set({ locks }).where('uid', '=', repositoryUid).execute();
      rewritten();
      append(event('repository.updated', { attributes: attributesOf(locks) }));
    });
  }

  /** Throws `nameUnknown`, `tagUnknown`. */
  async tag(place: Place, authority: Authority, tag: Tag, attributes: AttributeChange): Promise<void> {
    await this.#change(place, authority, async ({ tx, append, repositoryUid }, event) => {
      const row = await tx
        .selectFrom('tags')
        .where('repository_uid', '=', repositoryUid)
        .where('name', '=', tag)
        .select(['digest', 'locks'])
        .executeTakeFirst();
      if (row === undefined) throw new BerthError('tagUnknown', { repository: place.repository, tag });
      const locks = changed(row.locks, attributes);
      if (locks === undefined) return;
      await tx
        .updateTable('tags')
        .set({ locks })
        .where('repository_uid', '=', repositoryUid)
        .where('name', '=', tag)
        .execute();
      append(event('tag.updated', { tag, digest: row.digest, attributes: attributesOf(locks) }));
    });
  }

  /** Also what a scanner says of it. Throws `nameUnknown`, `manifestUnknown`. */
  async manifest(
    place: Place,
    authority: Authority,
    digest: Digest,
    { quarantine = {}, ...attributes }: ManifestChange,
  ): Promise<void> {
    await this.#change(place, authority, async ({ tx, append, repositoryUid }, event) => {
      const row = await tx
        .selectFrom('manifests')
        .where('repository_uid', '=', repositoryUid)
        .where('digest', '=', digest)
        .select(['locks', 'media_type as mediaType', 'size as sizeBytes'])
        .executeTakeFirst();
      if (row === undefined) throw new BerthError('manifestUnknown', { repository: place.repository, digest });
      const locks = changed(row.locks, attributes);
      if (locks !== undefined)
        await tx
          .updateTable('manifests')
          .set({ locks })
          .where('repository_uid', '=', repositoryUid)
          .where('digest', '=', digest)
          .execute();
      const said = await changeQuarantine(tx, { repositoryUid, digest }, quarantine);
      if (locks === undefined && said === undefined) return;
      const attributesNow = { digest, attributes: attributesOf(locks ?? row.locks) };
      if (said === undefined) return append(event('manifest.updated', attributesNow));
      const tags = await tx
        .selectFrom('tags')
        .where('repository_uid', '=', repositoryUid)
        .where('digest', '=', digest)
        .orderBy('name')
        .limit(mostTagsTold)
        .select('name')
        .execute();
      // Whoever is told of what a scanner says is told of what, as of a push.
      const { mediaType, sizeBytes } = row;
      const what = { mediaType, sizeBytes, tags: tags.map(({ name }) => name) };
      const result = { state: said.state, details: said.details ?? null };
      append(event('manifest.updated', { ...attributesNow, ...what, quarantine: result }));
    });
  }

  async #change(place: Place, authority: Authority, work: Work): Promise<void> {
    const event = eventsOf(place, authority, this.#parts.region);
    await this.#parts.change(
      place,
      authority,
      async (change) => {
        const { tx, repositoryUid } = change;
        const held =
          repositoryUid === undefined
            ? undefined
            : await tx
                .selectFrom('manifests')
                .where('repository_uid', '=', repositoryUid)
                .select('digest')
                .limit(1)
                .executeTakeFirst();
        if (repositoryUid === undefined || held === undefined)
          throw new BerthError('nameUnknown', { name: place.repository });
        await work({ ...change, repositoryUid }, event);
      },
      { isExclusive: true },
    );
  }
}

/** Undefined when nothing changes. */
function changed(locks: Locks, attributes: AttributeChange): Locks | undefined {
  const result = withAttributes(locks, attributes);
  return result === locks ? undefined : result;
}
