import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotRows, hotStatement, ofEach } from '../../platform/database/hot-query.ts';
import { forEachKind, lockedForUpdate } from '../../platform/database/locks.ts';
import { MissingValue } from '../../platform/database/missing-value.ts';
import type { Sku } from '../registries/registry.ts';
import type { Change } from './authorized-change.ts';
import { isBlobHeld } from './deleted-content.ts';
import { releaseBlobs } from './released-blobs.ts';

/** Most bytes that a registry of each SKU may have in use. */
export type StorageLimits = Readonly<Record<Sku, number>>;

/** Most bytes that a registry may have in use: its own limit, else that of its SKU; undefined where there is none. */
export function storageLimitOf(
  { sku, storageLimitBytes }: { readonly sku: Sku; readonly storageLimitBytes: number | null | undefined },
  limits: StorageLimits | undefined,
): number | undefined {
  return storageLimitBytes ?? limits?.[sku];
}

/** Keeps statements far below the parameter limits of both databases. */
const digestsPerStatement = 500;

/**
 * A registry's bytes in use: its manifests, and each blob once that a manifest references in a repository which shows it. Both
 * are written in the transaction of the change that makes the difference. Takes the blobs of a manifest into use; answers the
 * bytes that were not in use before, as `sendAhead`.
 */
export async function useBlobsOf(
  tx: Transaction,
  { registryUid, repositoryUid }: RepositoryUids,
  manifest: Digest,
): Promise<() => Promise<number>> {
  const used = await insertUsedBlobs.ahead(tx, { registry: registryUid, repository: repositoryUid, manifest }, []);
  return async () => sum(await used());
}

const insertUsedBlobs = hotRows(['registry', 'repository', 'manifest'], [], (on, parameter) =>
  on
    .insertInto('referenced_blobs')
    .columns(['registry_uid', 'digest', 'size'])
    .expression(
      on
        .selectFrom('manifest_references as m')
        .innerJoin('blob_links as l', (join) =>
          join.onRef('l.repository_uid', '=', 'm.repository_uid').onRef('l.digest', '=', 'm.digest'),
        )
        .innerJoin('blobs as b', (join) =>
          join.on('b.registry_uid', '=', parameter<string>('registry')).onRef('b.digest', '=', 'm.digest'),
        )
        .where('m.repository_uid', '=', parameter<string>('repository'))
        .where('m.manifest_digest', '=', parameter<string>('manifest'))
        .where('m.kind', '=', 'blob')
        .orderBy('b.digest')
        .select(['b.registry_uid', 'b.digest', 'b.size']),
    )
    .onConflict((conflict) => conflict.doNothing())
    .returning('size'),
);

/** The same for one blob that came after a manifest of its repository that references it. */
export async function useBlob(tx: Transaction, { registryUid }: RepositoryUids, digest: Digest): Promise<number> {
  const { rows } = await sql<{ readonly size: number }>`
    insert into referenced_blobs (registry_uid, digest, size)
    select registry_uid, digest, size from blobs where registry_uid = ${registryUid} and digest = ${digest}
    on conflict do nothing
    returning size`.execute(tx);
  return sum(rows);
}

type RepositoryUids = { readonly registryUid: string; readonly repositoryUid: string };

/**
 * The other way, after references were removed: ends the blobs' grace, and takes those out of use that nothing references any
 * more; answers the bytes of each of those. They are locked first, so that a push that relies on one is seen here, or waits and
 * finds it out of use. Once in a transaction, and last but for `subtractUsage`: a push locks its blobs, then the registry's count.
 */
export async function disuseBlobs(
  tx: Transaction,
  kind: Database['kind'],
  freed: { readonly registryUid: string; readonly digests: readonly string[]; readonly nowMicros: number },
): Promise<ReadonlyMap<string, number>> {
  const { registryUid } = freed;
  const bytes = new Map<string, number>();
  // One order for all who lock blobs: nobody waits in a circle.
  const sorted = [...freed.digests].sort();
  for (let start = 0; start < sorted.length; start += digestsPerStatement) {
    const some = sorted.slice(start, start + digestsPerStatement);
    const items = some.map((digest) => ({ digest }));
    await lockBlobs[kind].ahead(tx, { registry: registryUid }, items);
    await releaseBlobs(tx, registryUid, some, freed.nowMicros);
    const rows = await deleteUnused(tx, { registry: registryUid }, items);
    for (const { digest, size } of rows) bytes.set(digest, size);
  }
  return bytes;
}

const lockBlobs = forEachKind((kind) =>
  hotRows(['registry'], ['digest'], (on, parameter, items) => {
    const blobs = on
      .selectFrom('blobs')
      .where('registry_uid', '=', parameter<string>('registry'))
      .where('digest', 'in', ofEach(items, 'digest'))
      .orderBy('digest')
      .select('digest');
    return lockedForUpdate(kind, blobs);
  }),
);

const deleteUnused = hotRows(['registry'], ['digest'], (on, parameter, items) =>
  on
    .deleteFrom('referenced_blobs')
    .where('registry_uid', '=', parameter<string>('registry'))
    .where('digest', 'in', ofEach(items, 'digest'))
    .where((where) =>
      where.not(
        where.exists(
          on
            .selectFrom('blob_links as l')
            .innerJoin('repositories as r', 'r.uid', 'l.repository_uid')
            .where('l.digest', '=', where.ref('referenced_blobs.digest'))
            .where('r.registry_uid', '=', parameter<string>('registry'))
            .where((link) => isBlobHeld(link.ref('l.repository_uid'), link.ref('l.digest')))
            .select('l.digest'),
        ),
      ),
    )
    .returning(['digest', 'size']),
);

/** `limitBytes`: of what the registry may have in use. */
export type AddedUsage = {
  readonly registryUid: string;
  readonly bytes: number;
  readonly limitBytes: number | undefined;
};

/** As `countUsage`, waited for. */
export async function addUsage(tx: Transaction, usage: AddedUsage): Promise<void> {
  try {
    await (await sendUsage(tx, usage))();
  } catch (error) {
    throw refusalBy(usage)(error);
  }
}

/**
 * Counts bytes that come into use, as `sendAhead`. The row is every push's last before the journal. The transaction fails with
 * `storageLimitReached` for the write that would pass the limit, whoever came before it.
 */
export async function countUsage({ tx, explain }: Pick<Change, 'tx' | 'explain'>, usage: AddedUsage): Promise<void> {
  explain(refusalBy(usage));
  await sendUsage(tx, usage);
}

async function sendUsage(tx: Transaction, usage: AddedUsage): Promise<() => Promise<unknown>> {
  const { registryUid: registry, bytes, limitBytes: limit = Number.MAX_SAFE_INTEGER } = usage;
  if (bytes > limit) throw limitReached(usage);
  return bytes === 0 ? async () => {} : await insertUsage.ahead(tx, { registry, bytes, limit });
}

function limitReached({ bytes: addedBytes, limitBytes }: AddedUsage): BerthError {
  return new BerthError('storageLimitReached', { addedBytes, limitBytes });
}

function refusalBy(usage: AddedUsage): (error: unknown) => unknown {
  return (error) =>
    error instanceof MissingValue && error.column === 'registry_usage.bytes' ? limitReached(usage) : error;
}

/** Fails beyond the limit, with MissingValue. */
const insertUsage = hotStatement(['registry', 'bytes', 'limit'], (on, parameter) =>
  on
    .insertInto('registry_usage')
    .values({ registry_uid: parameter('registry'), bytes: parameter('bytes') })
    .onConflict((conflict) =>
      conflict.column('registry_uid').doUpdateSet({
        bytes: sql<number>`case when registry_usage.bytes + excluded.bytes <= cast(${parameter('limit')} as bigint) then registry_usage.bytes + excluded.bytes end`,
      }),
    ),
);

/** Counts bytes that are no longer in use, as `sendAhead`. */
export async function subtractUsage(tx: Transaction, registryUid: string, bytes: number): Promise<void> {
  if (bytes > 0) await takeUsage.ahead(tx, { registry: registryUid, bytes });
}

const takeUsage = hotStatement(['registry', 'bytes'], (on, parameter) =>
  on
    .updateTable('registry_usage')
    .set((set) => ({ bytes: set('bytes', '-', parameter<number>('bytes')) }))
    .where('registry_uid', '=', parameter<string>('registry')),
);

function sum(rows: readonly { readonly size: number }[]): number {
  return rows.reduce((total, row) => total + row.size, 0);
}
