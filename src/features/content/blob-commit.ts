import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import type { StorageKey } from '../../platform/blob-store/blob-store.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { hotStatement } from '../../platform/database/hot-query.ts';
import type { Answer } from '../../platform/database/send-ahead.ts';
import { addUsage, useBlob } from './storage-use.ts';

/** A blob whose bytes are durable in the store and whose digest was checked. */
export type FinishedBlob = {
  readonly digest: Digest;
  readonly storageKey: StorageKey;
  readonly sizeBytes: number;
  readonly checksums: Uint8Array;
};

export type CommitTarget = {
  readonly registryUid: string;
  readonly repositoryUid: string;
  readonly nowMicros: number;
  readonly graceUntilMicros: number;
  /** Of what the registry may have in use. */
  readonly limitBytes: number | undefined;
};

/**
 * Names a finished blob in its registry and links it into a repository. Where the registry holds the digest already, the
 * first copy stays and its grace is renewed, unless it is damaged or is the one under `badKey`: that one is replaced.
 * Resolves to the storage key that is in use now.
 */
export async function commitBlob(
  tx: Transaction,
  target: CommitTarget,
  blob: FinishedBlob,
  badKey: StorageKey | undefined,
): Promise<StorageKey> {
  const inserted = await insertBlob.ahead(tx, {
    registry: target.registryUid,
    digest: blob.digest,
    key: blob.storageKey,
    badKey: badKey ?? '',
    size: blob.sizeBytes,
    now: target.nowMicros,
    graceUntil: target.graceUntilMicros,
    checksums: blob.checksums,
  });
  await linkBlob(tx, target, blob.digest);
  const [row] = await inserted();
  if (row === undefined) throw new Error('an inserted blob returned no row');
  return row.storage_key;
}

const insertBlob = hotStatement(
  ['registry', 'digest', 'key', 'badKey', 'size', 'now', 'graceUntil', 'checksums'],
  (on, parameter) => {
    const isBad = sql`(blobs.state = 'damaged' or blobs.storage_key = ${parameter('badKey')})`;
    return on
      .insertInto('blobs')
      .values({
        registry_uid: parameter('registry'),
        digest: parameter('digest'),
        storage_key: parameter('key'),
        size: parameter('size'),
        stored_size: parameter('size'),
        format: 'plain',
        scope: '',
        state: 'ready',
        created_at: parameter('now'),
        grace_until: parameter('graceUntil'),
        checksums: parameter('checksums'),
      })
      .onConflict((conflict) =>
        conflict.columns(['registry_uid', 'digest']).doUpdateSet({
          storage_key: sql`case when ${isBad} then excluded.storage_key else blobs.storage_key end`,
          checksums: sql`case when ${isBad} then excluded.checksums else blobs.checksums end`,
          state: 'ready',
          grace_until: (excluded) => excluded.ref('excluded.grace_until'),
        }),
      )
      .returning('storage_key');
  },
);

/** The copy that was to be linked is no longer the registry's, or damaged. */
export class CopyGone extends Error {}

/**
 * Links the copy under `storageKey`. Its grace is renewed unless it was a moment ago: a copy that many push at once, as a base
 * image is, would have all of them wait for its row. Throws CopyGone.
 */
export async function linkCopy(
  tx: Transaction,
  target: CommitTarget,
  digest: Digest,
  storageKey: StorageKey,
): Promise<void> {
  const copy = { registry: target.registryUid, digest, key: storageKey };
  const found = await findCopy.ahead(tx, { ...copy, graceFrom: freshGraceMicros(target) });
  const sent = await sendLink(tx, target, digest);
  const isFresh = (await found()).length > 0;
  let link = await sent();
  // Whoever takes the blob out of use meanwhile is waited for, too.
  if (!isFresh || isInUse(link)) {
    const renewed = await renewGrace(tx, { ...copy, graceUntil: target.graceUntilMicros });
    if (renewed === undefined) throw new CopyGone();
  }
  // A link that was there already may have been collected before the grace was renewed.
  if (!isFresh) link = [...link, ...(await (await sendLink(tx, target, digest))())];
  await useLinked(tx, target, digest, link);
}

/** No transaction takes so long: what ends later is not collected before the link is there to be seen. */
const longestTransactionMicros = 120_000_000;

/** The earliest end of a grace that is as good as a new one: of seven eighths of its length. */
export function freshGraceMicros({
  nowMicros,
  graceUntilMicros,
}: Pick<CommitTarget, 'nowMicros' | 'graceUntilMicros'>): number {
  const eighth = Math.ceil((graceUntilMicros - nowMicros) / 8);
  return Math.max(graceUntilMicros - eighth, nowMicros + longestTransactionMicros);
}

const findCopy = hotStatement(['registry', 'digest', 'key', 'graceFrom'], (on, parameter) =>
  on
    .selectFrom('blobs')
    .where('registry_uid', '=', parameter<string>('registry'))
    .where('digest', '=', parameter<Digest>('digest'))
    .where('storage_key', '=', parameter<StorageKey>('key'))
    .where('state', '=', 'ready')
    .where('grace_until', '>=', parameter<number>('graceFrom'))
    .select('digest'),
);

/** Renews the grace of a copy that somebody is about to link. False when it is no longer the registry's, or damaged. */
export async function renewCopy(
  tx: Transaction,
  copy: CopyOfBlob & { readonly graceUntilMicros: number },
): Promise<boolean> {
  const { registryUid: registry, digest, storageKey: key, graceUntilMicros: graceUntil } = copy;
  return (await renewGrace(tx, { registry, digest, key, graceUntil })) !== undefined;
}

const renewGrace = hotStatement(['registry', 'digest', 'key', 'graceUntil'], (on, parameter) =>
  on
    .updateTable('blobs')
    .set({ grace_until: parameter('graceUntil') })
    .where('registry_uid', '=', parameter<string>('registry'))
    .where('digest', '=', parameter<Digest>('digest'))
    .where('storage_key', '=', parameter<StorageKey>('key'))
    .where('state', '=', 'ready')
    .returning('digest'),
);

/** Makes a blob of the registry visible in one of its repositories. Throws `storageLimitReached`. */
export async function linkBlob(tx: Transaction, target: LinkTarget, digest: Digest): Promise<void> {
  const link = await sendLink(tx, target, digest);
  await useLinked(tx, target, digest, await link());
}

type LinkTarget = Omit<CommitTarget, 'graceUntilMicros'>;
type Link = { readonly isReferenced: number };

async function sendLink(tx: Transaction, target: LinkTarget, digest: Digest): Promise<Answer<Link>> {
  return await insertLink.ahead(tx, { repository: target.repositoryUid, digest, now: target.nowMicros });
}

/** Manifests may be pushed before their blobs: the blob comes into use when it is here. */
async function useLinked(
  tx: Transaction,
  { registryUid, repositoryUid, limitBytes }: LinkTarget,
  digest: Digest,
  link: readonly Link[],
): Promise<void> {
  if (!isInUse(link)) return;
  const bytes = await useBlob(tx, { registryUid, repositoryUid }, digest);
  await addUsage(tx, { registryUid, bytes, limitBytes });
}

function isInUse([link]: readonly Link[]): boolean {
  return link?.isReferenced === 1;
}

const insertLink = hotStatement(['repository', 'digest', 'now'], (on, parameter) =>
  on
    .insertInto('blob_links')
    .values({ repository_uid: parameter('repository'), digest: parameter('digest'), created_at: parameter('now') })
    .onConflict((conflict) => conflict.columns(['repository_uid', 'digest']).doNothing())
    .returning(
      sql<number>`case when exists (select 1 from manifest_references m where m.repository_uid = ${parameter('repository')} and m.digest = ${parameter('digest')} and m.kind = 'blob') then 1 else 0 end`.as(
        'isReferenced',
      ),
    ),
);

/**
 * Sets a copy aside whose bytes are missing, wrong or cannot be read: the next push of its digest replaces it. False when that
 * copy is no longer in use, or was set aside before.
 */
export async function markDamaged(tx: Transaction, copy: CopyOfBlob): Promise<boolean> {
  return await markAs(tx, copy, { from: 'ready', to: 'damaged' });
}

/** The other way, for a copy whose bytes are those of its digest after all. */
export async function markReady(tx: Transaction, copy: CopyOfBlob): Promise<boolean> {
  return await markAs(tx, copy, { from: 'damaged', to: 'ready' });
}

type CopyOfBlob = { readonly registryUid: string; readonly digest: Digest; readonly storageKey: StorageKey };
type State = 'ready' | 'damaged';

async function markAs(
  tx: Transaction,
  copy: CopyOfBlob,
  { from, to }: { readonly from: State; readonly to: State },
): Promise<boolean> {
  const row = await tx
    .updateTable('blobs')
    .set({ state: to })
    .where('registry_uid', '=', copy.registryUid)
    .where('digest', '=', copy.digest)
    .where('storage_key', '=', copy.storageKey)
    .where('state', '=', from)
    .returning('digest')
    .executeTakeFirst();
  return row !== undefined;
}
