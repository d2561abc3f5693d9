import { type Digest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseTag, type Tag } from '../../core/reference.ts';
import { type Authority, confirmedWith } from '../access/authority.ts';
import { attributesOf } from '../content/attributes.ts';
import type { Place } from '../content/place.ts';
import { type MovedTag, maxMoves, type TagMove, type TagMoves } from '../content/tag-moves.ts';
import { type AsOfParts, type TagsAsOf, tagsAsOf } from './tags-as-of.ts';

/** Where a tag pointed at two instants; undefined where it was not there. */
export type TagDifference = { readonly tag: Tag; readonly from: Digest | undefined; readonly to: Digest | undefined };

/** The tags that pointed elsewhere at `toMicros` than at `fromMicros`, by name. Throws as `tagsAsOf` does. */
export async function tagDifferences(
  parts: AsOfParts,
  place: Place,
  authority: Authority,
  { fromMicros, toMicros }: { readonly fromMicros: number; readonly toMicros: number },
): Promise<readonly TagDifference[]> {
  const to = await tagsAsOf(parts, place, authority, toMicros);
  const from = await tagsAsOf(parts, place, authority, fromMicros);
  return differences(from, to).filter(({ tag }) => attributesOf(to.locks.get(tag) ?? 0).listEnabled);
}

export type Rollback = {
  readonly atMicros: number;
  /** Undefined for every tag of the repository. */
  readonly tag: Tag | undefined;
  readonly isDryRun: boolean;
};

/**
 * Points tags to where they pointed at an instant, and takes away those that came since: as new changes, which are undone by
 * rolling back to just before them. Up to 200 tags move in one step; more in several, in the order of their names. Who may
 * push and not delete rolls back where no tag has to go.
 * Throws `tagMoved` when somebody moves one of them meanwhile, `manifestUnknown` with what was deleted since, and as `tagsAsOf`.
 */
export async function rollBack(
  parts: AsOfParts & { readonly tagMoves: Pick<TagMoves, 'apply'> },
  place: Place,
  authority: Authority,
  { atMicros, tag, isDryRun }: Rollback,
): Promise<readonly MovedTag[]> {
  const { repository, registryUid } = place;
  const now = await tagsAsOf(parts, place, authority, parts.clock.nowMicros());
  const then = await tagsAsOf(parts, place, authority, atMicros);
  const changed = differences(now, then).filter((difference) => tag === undefined || difference.tag === tag);
  if (tag !== undefined && !now.digests.has(tag) && !then.digests.has(tag))
    throw new BerthError('manifestUnknown', { repository, tag });
  if (isDryRun) return changed.map(({ tag, from, to }) => ({ repository, tag, digest: to, previous: from }));
  const holder = changed.some(({ to }) => to === undefined) ? deleting(authority, repository) : authority;
  const moves = changed.map(({ tag, from, to }): TagMove => ({ repository, tag, digest: to, expected: from ?? null }));
  const moved: MovedTag[] = [];
  for (let start = 0; start < moves.length; start += maxMoves)
    moved.push(...(await parts.tagMoves.apply(registryUid, moves.slice(start, start + maxMoves), () => holder)));
  return moved;
}

/** The same, as long as it may delete as well. Throws `denied`. */
function deleting(authority: Authority, repository: Place['repository']): Authority {
  const requireDeletion = () => {
    if (!authority.allows('delete', repository))
      throw new BerthError('denied', [{ Type: 'repository', Name: repository, Action: 'delete' }]);
  };
  requireDeletion();
  return confirmedWith(authority, async (epoch) => {
    await authority.confirm(epoch);
    requireDeletion();
  });
}

function differences(from: TagsAsOf, to: TagsAsOf): readonly TagDifference[] {
  const names = [...new Set([...from.digests.keys(), ...to.digests.keys()])].sort();
  return names
    .map((name) => ({ tag: parseTag(name), from: digestIn(from, name), to: digestIn(to, name) }))
    .filter((difference) => difference.from !== difference.to);
}

function digestIn({ digests }: TagsAsOf, tag: string): Digest | undefined {
  const digest = digests.get(tag);
  return digest === undefined ? undefined : parseDigest(digest);
}
