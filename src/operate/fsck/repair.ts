import { sql } from 'kysely';
import { parseDigest } from '../../core/digest.ts';
import { markDamaged } from '../../features/content/blob-commit.ts';
import { disuseBlobs, useBlob } from '../../features/content/storage-use.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import { type Journal, streamOf } from '../../platform/journal/journal.ts';
import { type Finding, findingText, isRepairable } from './finding.ts';

export type RepairParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly store: Pick<BlobStore, 'removeMany' | 'abort'>;
  readonly clock: Clock;
  /** Region of origin of what is written here. */
  readonly region: string;
};

const actor = 'fsck';

/**
 * Puts right what can be put right without losing anything, each after another look; answers what is left, and what was done.
 * Servers may go on meanwhile.
 */
export async function repair(
  parts: RepairParts,
  findings: readonly Finding[],
): Promise<{ readonly repaired: readonly Finding[]; readonly left: readonly Finding[] }> {
  const repaired: Finding[] = [];
  const left: Finding[] = [];
  for (const finding of findings) (isRepairable(finding) ? repaired : left).push(finding);
  for (const finding of repaired) {
    if (finding.kind === 'blobMissing' || finding.kind === 'blobLength') await setAside(parts, finding);
    if (finding.kind === 'unnamedBytes') await removeBytes(parts, finding);
    if (finding.kind === 'usageWrong') await countAnew(parts, finding);
  }
  return { repaired, left };
}

type Of<Kind extends Finding['kind']> = Extract<Finding, { kind: Kind }>;

/** As the scrub does: it is not served any more, and the next push of its digest replaces it. */
async function setAside(
  { journal, region }: RepairParts,
  finding: Of<'blobMissing'> | Of<'blobLength'>,
): Promise<void> {
  const { registryUid, key: storageKey, sizeBytes } = finding;
  const digest = parseDigest(finding.digest);
  await journal.transaction(async (tx, append) => {
    if (!(await markDamaged(tx, { registryUid, digest, storageKey }))) return;
    const data = { digest, sizeBytes, reason: findingText(finding) };
    append({ stream: streamOf(registryUid, region), type: 'blob.damaged', version: 1, actor, data });
  });
}

/** Keys are random and never used again: what no row names now is named by none later. */
async function removeBytes({ database, store }: RepairParts, { key, handle }: Of<'unnamedBytes'>): Promise<void> {
  if (handle === undefined) {
    const blob = await database.read
      .selectFrom('blobs')
      .where('storage_key', '=', key)
      .select('digest')
      .executeTakeFirst();
    const kept = await database.read
      .selectFrom('kept_bytes')
      .where('storage_key', '=', key)
      .select('size')
      .executeTakeFirst();
    if (blob === undefined && kept === undefined) await store.removeMany([key]);
    return;
  }
  const upload = await database.read
    .selectFrom('uploads')
    .where('handle', '=', handle)
    .select('uid')
    .executeTakeFirst();
  if (upload === undefined) await store.abort(handle);
}

/** The count is a push's last row: whoever adds to it meanwhile comes after this, with rows that this does not see. */
async function countAnew(
  { database, clock }: RepairParts,
  { registryUid, unused, uncounted }: Of<'usageWrong'>,
): Promise<void> {
  const { kind } = database;
  await database.transaction(async (tx) => {
    await disuseBlobs(tx, kind, { registryUid, digests: unused, nowMicros: clock.nowMicros() });
    for (const digest of [...uncounted].sort())
      await useBlob(tx, { registryUid, repositoryUid: '' }, parseDigest(digest));
    await tx
      .insertInto('registry_usage')
      .values({ registry_uid: registryUid, bytes: 0 })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const row = tx.selectFrom('registry_usage').where('registry_uid', '=', registryUid).select('bytes');
    await lockedForUpdate(kind, row).execute();
    await sql`update registry_usage set bytes = cast(
      (select coalesce(sum(size), 0) from referenced_blobs where registry_uid = ${registryUid})
      + (select coalesce(sum(m.size), 0) from manifests m
          join repositories r on r.uid = m.repository_uid where r.registry_uid = ${registryUid})
      + (select coalesce(sum(d.size), 0) from deleted_manifests d
          join repositories r on r.uid = d.repository_uid where r.registry_uid = ${registryUid}
            and not exists (select 1 from manifests s where s.repository_uid = d.repository_uid and s.digest = d.digest))
      as bigint) where registry_uid = ${registryUid}`.execute(tx);
  });
}
