import { setImmediate as breathe } from 'node:timers/promises';
import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { SeenManifest } from '../content/as-seen.ts';
import type { Alongside, DeletionOptions, Deletions, UntaggedDeletion } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import type { Gone } from '../content/removal.ts';
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
  for (let start = 0; start < tags.length; ) {
    await taking.pause();
    if (taking.signal.aborted) return;
    const items = await takeTags(taking, tags.slice(start, start + takenAtOnce));
    start += items.length;
    yield* items;
  }
  for (let start = 0; start < groups.length; ) {
    await taking.pause();
    if (taking.signal.aborted) return;
    const some = groups.slice(start, start + takenAtOnce);
    const together = some.findIndex((group) => !isLone(group));
    const lone = together < 0 ? some : some.slice(0, together);
    const [first] = some;
    if (lone.length > 0) {
      const { items, problem } = await takeLone(taking, lone);
      start += items.length;
      yield* items;
      if (problem !== undefined) throw problem;
    } else if (first !== undefined) {
      start += 1;
      yield* takeGroup(taking, first);
    }
  }
}

function isLone({ tags, followers }: LeavingGroup): boolean {
  return tags.length === 0 && followers.length === 0;
}

/** The first of them, and as many as go with it in one transaction. */
async function takeTags(taking: Taking, some: readonly LeavingTag[]): Promise<readonly PurgeItem[]> {
  const { deletions, place, authority, options } = taking;
  const wanted = some.map(({ tag, pulledBeforeMicros }) => ({ ...tag, pulledBeforeMicros }));
  const alongside = alongsideOf(taking, { tags: some, manifests: [] });
  const settled = await deletions.unchangedTags(place, authority, wanted, { ...options, alongside });
  return settled.flatMap((each, index) => {
    const leaving = some[index];
    if (leaving === undefined) return [];
    if (each.kind === 'refused') return [refused(taking, ofTag(leaving), each.error)];
    return [told(taking, ofTag(leaving), each.result ? 'deleted' : 'changed')];
  });
}

/** The same of manifests to which nothing refers; `problem` is for after they were told. */
async function takeLone(
  taking: Taking,
  some: readonly LeavingGroup[],
): Promise<{ readonly items: readonly PurgeItem[]; readonly problem: unknown }> {
  const { deletions, place, authority, options } = taking;
  const alongside = alongsideOf(taking, { tags: [], manifests: some });
  const settled = await deletions.untaggedManifests(place, authority, some.map(seenOf), { ...options, alongside });
  const items = settled.flatMap((each, index) => {
    const group = some[index];
    if (group === undefined) return [];
    return [
      each.kind === 'refused' ? refused(taking, ofManifest(group), each.error) : taken(taking, group, each.result),
    ];
  });
  const problems = settled.map((each) => (each.kind === 'done' ? each.result.problem : undefined));
  return { items, problem: problems.find((problem) => problem !== undefined) };
}

/** One transaction takes a manifest with what refers to it. */
async function* takeGroup(taking: Taking, group: LeavingGroup): AsyncGenerator<PurgeItem> {
  const alongside = alongsideOf(taking, { tags: group.tags, manifests: [group, ...group.followers] });
  const options = { ...taking.options, alongside };
  const { item, gone } = await takeManifest(taking, group, options);
  yield item;
  const tags = new Set(gone?.tags);
  const manifests = new Set(gone?.manifests);
  const isGone = item.outcome === 'deleted';
  // What could not leave after that is not told: it leaves later.
  let problem = gone?.problem;
  for (const tag of group.tags)
    if (problem === undefined || tags.has(tag.tag.name))
      yield told(taking, ofTag(tag), tags.has(tag.tag.name) ? 'deleted' : 'changed');
  for (const follower of group.followers) {
    if (!isGone || manifests.has(follower.manifest.digest))
      yield told(taking, ofManifest(follower), isGone ? 'deleted' : 'changed');
    else if (problem === undefined) {
      const own = await takeManifest(taking, follower, options);
      yield own.item;
      for (const digest of own.gone?.manifests ?? []) manifests.add(digest);
      problem = own.gone?.problem;
    }
  }
  if (problem !== undefined) throw problem;
}

/** `gone` is undefined where it was refused. */
async function takeManifest(
  taking: Taking,
  leaving: LeavingManifest,
  options: DeletionOptions,
): Promise<{ readonly item: PurgeItem; readonly gone: UntaggedDeletion | undefined }> {
  const { deletions, place, authority } = taking;
  try {
    const gone = await deletions.untaggedManifest(place, authority, seenOf(leaving), options);
    return { item: taken(taking, leaving, gone), gone };
  } catch (error) {
    if (error instanceof BerthError) return { item: refused(taking, ofManifest(leaving), error), gone: undefined };
    throw error;
  }
}

function seenOf({ manifest, pulledBeforeMicros }: LeavingManifest): SeenManifest {
  const { digest, changedAtMicros } = manifest;
  return { digest: parseDigest(digest), changedAtMicros, pulledBeforeMicros };
}

/** Of what may leave together, each transaction records what it took; the bytes that a deletion freed stand with its first. */
function alongsideOf(
  taking: Taking,
  leaving: { readonly tags: readonly LeavingTag[]; readonly manifests: readonly LeavingManifest[] },
): Alongside | undefined {
  const { record } = taking;
  if (record === undefined) return undefined;
  const itemsOf = (gone: Gone): readonly PurgeItem[] => {
    const [tags, manifests] = [new Set(gone.tags), new Set(gone.manifests)];
    // As previews list them: a manifest, the tags that leave with it, what refers to it.
    const [first, ...followers] = leaving.manifests.filter(({ manifest }) => manifests.has(manifest.digest));
    const abouts = [
      ...(first === undefined ? [] : [ofManifest(first)]),
      ...leaving.tags.filter(({ tag }) => tags.has(tag.name)).map(ofTag),
      ...followers.map(ofManifest),
    ];
    const items = abouts.map((about) => told(taking, about, 'deleted'));
    return items.map((item, index) => (index === 0 ? { ...item, freedBytes: gone.freedBytes } : item));
  };
  return async (tx, gone) => await record(tx, gone.flatMap(itemsOf));
}

type About = Pick<PurgeItem, 'tag' | 'digest' | 'reason' | 'rule'>;

function taken(taking: Taking, leaving: LeavingManifest, { outcome, freedBytes }: UntaggedDeletion): PurgeItem {
  return { ...told(taking, ofManifest(leaving), outcome === 'deleted' ? 'deleted' : 'changed'), freedBytes };
}

/** Throws what is no reason to leave one thing and go on with the next. */
function refused(taking: Taking, about: About, error: BerthError): PurgeItem {
  if (unknown.has(error.error)) return told(taking, about, 'changed');
  if (kept.has(error.error)) return { ...told(taking, about, 'skipped'), why: error.message };
  throw error;
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
/** Offered to one transaction. */
const takenAtOnce = 50;
const tagsPerTurn = 500;
const unknown: ReadonlySet<string> = new Set(['nameUnknown', 'tagUnknown', 'manifestUnknown']);
const kept: ReadonlySet<string> = new Set(['contentLocked', 'tagImmutable', 'manifestReferenced']);
