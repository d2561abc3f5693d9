import type { Digest } from '../../core/digest.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Change } from './authorized-change.ts';
import { lastPulled } from './last-pulls.ts';
import { RepositoryRows } from './repository-rows.ts';

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

/** A repository in the transaction of a deletion. */
type Present = { readonly change: Change; readonly repositoryUid: string; readonly nowMicros: number };

const dayMicros = 86_400_000_000;

/** Whether a tag is still there, and what somebody saw. */
export async function isTagAsSeen(
  { change, repositoryUid }: Present,
  { name, digest, changedAtMicros, pulledBeforeMicros }: SeenTag,
): Promise<boolean> {
  const row = await new RepositoryRows(change.tx, repositoryUid)
    .tags()
    .where('name', '=', name)
    .select(['digest', 'changed_at'])
    .executeTakeFirst();
  if (row?.digest !== digest || row.changed_at !== changedAtMicros) return false;
  return !(await isPulledSince(change.tx, pulledBeforeMicros, { repositoryUid, digest, tag: name }));
}

/** The same of a manifest. */
export async function isManifestAsSeen(
  present: Present,
  { digest, changedAtMicros, markedSince, pulledBeforeMicros }: SeenManifest,
): Promise<boolean> {
  const { change, repositoryUid } = present;
  const row = await new RepositoryRows(change.tx, repositoryUid)
    .manifests()
    .where('digest', '=', digest)
    .select('changed_at')
    .executeTakeFirst();
  if (row === undefined) return false;
  if (changedAtMicros !== undefined && row.changed_at !== changedAtMicros) return false;
  if (await isPulledSince(change.tx, pulledBeforeMicros, { repositoryUid, digest })) return false;
  return markedSince === undefined || (await isDue(present, digest, markedSince));
}

async function isPulledSince(
  tx: Transaction,
  sinceMicros: number | undefined,
  seen: Parameters<typeof lastPulled>[1],
): Promise<boolean> {
  return sinceMicros !== undefined && (await lastPulled(tx, seen)) >= sinceMicros;
}

async function isDue(
  { change, repositoryUid, nowMicros }: Present,
  digest: Digest,
  markedSince: number,
): Promise<boolean> {
  const { retentionDays } = change.registry;
  if (retentionDays === null || markedSince > nowMicros - retentionDays * dayMicros) return false;
  const mark = await change.tx
    .selectFrom('untagged_manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .select('since')
    .executeTakeFirst();
  return mark?.since === markedSince;
}
