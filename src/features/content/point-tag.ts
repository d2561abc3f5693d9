import { BerthError } from '../../core/errors.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { ImmutableTags } from './immutable-tags.ts';
import { setTag, setTagOnce, type TagTarget, type TagWrite } from './manifest-store.ts';
import type { Place } from './place.ts';

/** Undefined when a tag that is written once points there already. Throws `contentLocked`, `tagImmutable`. */
export async function pointTag(
  tx: Transaction,
  at: { readonly place: Place; readonly repositoryUid: string; readonly immutable: ImmutableTags },
  target: TagTarget,
): Promise<TagWrite | undefined> {
  const { repository } = at.place;
  const { tag } = target;
  if (at.immutable.holds(tag)) {
    const result = await setTagOnce(tx, at.repositoryUid, target);
    if (result === 'taken') throw new BerthError('tagImmutable', { repository, tag });
    return result === 'here' ? undefined : result;
  }
  const written = await setTag(tx, at.repositoryUid, target);
  if (written === undefined) throw new BerthError('contentLocked', { repository, tag, writeEnabled: false });
  return written;
}

/** What the event of a moved tag says of it: where it pointed before, or that it is new. */
export function tagState({ hybridTime, previous, isNew }: TagWrite): Readonly<Record<string, unknown>> {
  return { hybridTime, ...(previous !== undefined && { previous }), ...(isNew && { isNew }) };
}
