import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { algorithmOf, digestOf, parseDigest } from '../../core/digest.ts';
import { markDamaged } from '../../features/content/blob-commit.ts';
import { serveAgain } from '../../features/content/serve-again.ts';
import { takeOutOfUse, useBlob } from '../../features/content/storage-use.ts';
import { BlobMissing, type BlobStore } from '../../platform/blob-store/blob-store.ts';
import { isStorageKey } from '../../platform/blob-store/folder-layout.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import { type Journal, streamOf } from '../../platform/journal/journal.ts';
import { type Finding, findingText, isRepairable } from './finding.ts';

export type RepairParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly store: Pick<BlobStore, 'read' | 'removeMany' | 'abort'>;
  readonly clock: Clock;
  /** Region of origin of what is written here. */
  readonly region: string;
};

const actor = 'fsck';

/**
 * Puts right what can be put right without losing anything, each after another look; answers what is left, which includes blobs
 * that it set aside, and what was done. Servers may go on meanwhile.
 */
export async function repair(
  parts: RepairParts,
  findings: readonly Finding[],
): Promise<{ readonly repaired: readonly Finding[]; readonly left: readonly Finding[] }> {
  const repaired: Finding[] = [];
  const left: Finding[] = [];
  for (const finding of findings) {
    if (!isRepairable(finding)) {
      left.push(finding);
      continue;
    }
    if (finding.kind === 'blobMissing' || finding.kind === 'blobLength') {
      if (!(await setAside(parts, finding))) continue;
      left.push({ ...about(finding), kind: 'blobDamaged', mayBeWhole: false });
    }
    if (finding.kind === 'blobDamaged' && !(await takeBack(parts, finding))) {
      left.push({ ...finding, mayBeWhole: false });
      continue;
    }
    if (finding.kind === 'unnamedBytes') await removeBytes(parts, finding);
    if (finding.kind === 'usageWrong') await countAnew(parts, finding);
    repaired.push(finding);
  }
  return { repaired, left };
}

type Of<Kind extends Finding['kind']> = Extract<Finding, { kind: Kind }>;
type OfBlob = Of<'blobMissing' | 'blobLength' | 'blobDamaged'>;

function about({ registryUid, digest, key, sizeBytes }: OfBlob) {
  return { registryUid, digest, key, sizeBytes };
}

/**
 * As the scrub does: it is not served any more, and the next push of its digest replaces it. False, and nothing is done, when its
 * bytes are right after all, or another copy has taken its place.
 */
async function setAside(
  { journal, region, store }: RepairParts,
  finding: Of<'blobMissing'> | Of<'blobLength'>,
): Promise<boolean> {
  if (await isWhole(store, finding)) return false;
  const { registryUid, key: storageKey, sizeBytes } = finding;
  const digest = parseDigest(finding.digest);
  return await journal.transaction(async (tx, append) => {
    if (!(await markDamaged(tx, { registryUid, digest, storageKey }))) return false;
    const data = { digest, sizeBytes, reason: findingText(finding) };
    append({ stream: streamOf(registryUid, region), type: 'blob.damaged', version: 1, actor, data });
    return true;
  });
}

/** False when its bytes are not right. */
async function takeBack(parts: RepairParts, finding: Of<'blobDamaged'>): Promise<boolean> {
  if (!(await isWhole(parts.store, finding))) return false;
  const { registryUid, key: storageKey, sizeBytes } = finding;
  await serveAgain(parts, { registryUid, digest: parseDigest(finding.digest), storageKey, sizeBytes }, actor);
  return true;
}

/** Reads all of it. A store that does not answer proves nothing, and ends the repair. */
async function isWhole(store: RepairParts['store'], { key, digest }: OfBlob): Promise<boolean> {
  if (!isStorageKey(key)) return false;
  const algorithm = algorithmOf(parseDigest(digest));
  const hash = createHash(algorithm);
  try {
    for await (const chunk of store.read(key, undefined, { mayReuse: true })) hash.update(chunk);
  } catch (error) {
    if (error instanceof BlobMissing) return false;
    throw error;
  }
  return digestOf(algorithm, hash.digest('hex')) === digest;
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
    await takeOutOfUse(tx, kind, { registryUid, digests: unused, nowMicros: clock.nowMicros() });
    for (const digest of [...uncounted].sort())
      await useBlob(tx, { registryUid, repositoryUid: '' }, parseDigest(digest));
    // What was deleted since the look is out of use again.
    await takeOutOfUse(tx, kind, { registryUid, digests: uncounted, nowMicros: clock.nowMicros() });
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
