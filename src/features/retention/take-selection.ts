import { setImmediate as breathe } from 'node:timers/promises';
import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { Gone } from '../content/deletion.ts';
import type { DeletionOptions, Deletions, UntaggedDeletion } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import type { FreedBytes } from './freed-bytes.ts';
import type { LeavingGroup, LeavingManifest, LeavingTag, PurgeSelection } from './purge-selection.ts';

/** One thing that a purge or a lifecycle rule takes, or would take in a dry run; `skipped` says why it stayed after all. */
export type PurgeItem = {
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string;
  /** Why it leaves, or stays. */
  readonly reason: string;
  /** The lifecycle rule that decided. */
  readonly rule: string | undefined;
  readonly outcome: 'deleted' | 'wouldDelete' | 'changed' | 'skipped' | 'kept';
  readonly why: string | undefined;
  /** With a manifest leave what refers to it, and the bytes of that. */
  readonly freedBytes: number;
};

export type Taking = {
  readonly deletions: Deletions;
  readonly place: Place;
  readonly authority: Authority;
  readonly options: DeletionOptions;
  readonly signal: AbortSignal;
  readonly pause: () => Promise<void>;
  /** Writes the items of each deletion together with it. */
  readonly record?: ((tx: Transaction, items: readonly PurgeItem[]) => Promise<void>) | undefined;
};

/** What `selection` would delete, without deleting. */
export async function* previewSelection(
  { repository }: Place,
  repositoryUid: string,
  { tags, groups }: PurgeSelection,
  freed: FreedBytes,
): AsyncGenerator<PurgeItem> {
  const item = (about: Omit<PurgeItem, 'repository' | 'outcome' | 'why'>): PurgeItem => {
    return { repository, ...about, outcome: 'wouldDelete', why: undefined };
  };
  for (const [index, tag] of tags.entries()) {
    if (index % tagsPerTurn === 0) await breathe();
    yield item({ ...ofTag(tag), freedBytes: 0 });
  }
  for (let start = 0; start < groups.length; start += groupsAtOnce) {
    const some = groups.slice(start, start + groupsAtOnce);
    await breathe();
    const bytes = await freed.ofGroups(repositoryUid, some.map(digestsOf));
    for (const [index, group] of some.entries()) {
      yield item({ ...ofManifest(group), freedBytes: bytes[index] ?? 0 });
      for (const tag of group.tags) yield item({ ...ofTag(tag), freedBytes: 0 });
      for (const follower of group.followers) yield item({ ...ofManifest(follower), freedBytes: 0 });
    }
  }
}

/**
 * Deletes a selection, and tells of each item as it goes. Each is looked at again when its turn comes: one that was tagged,
 * moved or locked meanwhile stays, and what refers to it too. Cut off anywhere, everything deleted so far is deleted whole.
 */
export async function* takeSelection(taking: Taking, { tags, groups }: PurgeSelection): AsyncGenerator<PurgeItem> {
  for (const tag of tags) {
    await taking.pause();
    if (taking.signal.aborted) return;
    yield await takeTag(taking, tag);
  }
  for (const group of groups) {
    await taking.pause();
    if (taking.signal.aborted) return;
    yield* takeGroup(taking, group);
  }
}

async function takeTag(taking: Taking, leaving: LeavingTag): Promise<PurgeItem> {
  const { deletions, place, authority } = taking;
  const seen = { ...leaving.tag, pulledBeforeMicros: leaving.pulledBeforeMicros };
  const options = recording(taking, { tags: [leaving], manifests: [] });
  return await settled(taking, ofTag(leaving), async () => {
    return { isDone: await deletions.unchangedTag(place, authority, seen, options), freedBytes: 0 };
  });
}

/** One transaction takes a manifest with what refers to it. */
async function* takeGroup(taking: Taking, group: LeavingGroup): AsyncGenerator<PurgeItem> {
  const options = recording(taking, { tags: group.tags, manifests: [group, ...group.followers] });
  let gone: UntaggedDeletion | undefined;
  yield await settled(taking, ofManifest(group), async () => {
    gone = await takeManifest(taking, group, options);
    return { isDone: gone.outcome === 'deleted', freedBytes: gone.freedBytes };
  });
  const tags = new Set(gone?.tags);
  const manifests = new Set(gone?.manifests);
  const isGone = gone?.outcome === 'deleted';
  for (const tag of group.tags) yield told(taking, ofTag(tag), tags.has(tag.tag.name) ? 'deleted' : 'changed');
  for (const follower of group.followers) {
    if (!isGone || manifests.has(follower.manifest.digest))
      yield told(taking, ofManifest(follower), isGone ? 'deleted' : 'changed');
    else
      yield await settled(taking, ofManifest(follower), async () => {
        const own = await takeManifest(taking, follower, options);
        for (const digest of own.manifests) manifests.add(digest);
        return { isDone: own.outcome === 'deleted', freedBytes: own.freedBytes };
      });
  }
}

async function takeManifest(
  { deletions, place, authority }: Taking,
  { manifest, pulledBeforeMicros }: LeavingManifest,
  options: DeletionOptions,
): Promise<UntaggedDeletion> {
  const { changedAtMicros } = manifest;
  const seen = { digest: parseDigest(manifest.digest), changedAtMicros, pulledBeforeMicros };
  return await deletions.untaggedManifest(place, authority, seen, options);
}

/** Of what may leave together, each transaction records what it took; the bytes that it freed stand with the first. */
function recording(
  taking: Taking,
  leaving: { readonly tags: readonly LeavingTag[]; readonly manifests: readonly LeavingManifest[] },
): DeletionOptions {
  const { options, record } = taking;
  if (record === undefined) return options;
  const alongside = async (tx: Transaction, gone: Gone) => {
    const [tags, manifests] = [new Set(gone.tags), new Set(gone.manifests)];
    // As previews list them: a manifest, the tags that leave with it, what refers to it.
    const [first, ...followers] = leaving.manifests.filter(({ manifest }) => manifests.has(manifest.digest));
    const abouts = [
      ...(first === undefined ? [] : [ofManifest(first)]),
      ...leaving.tags.filter(({ tag }) => tags.has(tag.name)).map(ofTag),
      ...followers.map(ofManifest),
    ];
    const items = abouts.map((about) => told(taking, about, 'deleted'));
    await record(
      tx,
      items.map((item, index) => (index === 0 ? { ...item, freedBytes: gone.freedBytes } : item)),
    );
  };
  return { ...options, alongside };
}

type About = Pick<PurgeItem, 'tag' | 'digest' | 'reason' | 'rule'>;

async function settled(
  taking: Taking,
  about: About,
  remove: () => Promise<{ readonly isDone: boolean; readonly freedBytes: number }>,
): Promise<PurgeItem> {
  try {
    const { isDone, freedBytes } = await remove();
    return { ...told(taking, about, isDone ? 'deleted' : 'changed'), freedBytes };
  } catch (error) {
    if (!(error instanceof BerthError)) throw error;
    if (unknown.has(error.error)) return told(taking, about, 'changed');
    if (kept.has(error.error)) return { ...told(taking, about, 'skipped'), why: error.message };
    throw error;
  }
}

function told({ place }: Taking, about: About, outcome: PurgeItem['outcome']): PurgeItem {
  return { repository: place.repository, ...about, outcome, why: undefined, freedBytes: 0 };
}

function ofTag({ tag, reason, rule }: LeavingTag): About {
  return { tag: tag.name, digest: tag.digest, reason, rule };
}

function ofManifest({ manifest, reason, rule }: LeavingManifest): About {
  return { tag: undefined, digest: manifest.digest, reason, rule };
}

function digestsOf({ manifest, followers }: LeavingGroup): readonly string[] {
  return [manifest, ...followers.map((each) => each.manifest)].map(({ digest }) => digest);
}

const groupsAtOnce = 100;
const tagsPerTurn = 500;
const unknown: ReadonlySet<string> = new Set(['nameUnknown', 'tagUnknown', 'manifestUnknown']);
const kept: ReadonlySet<string> = new Set(['contentLocked', 'tagImmutable', 'manifestReferenced']);
