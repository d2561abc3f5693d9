import { type RawBuilder, sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { hotRows, hotStatement, ofEach, type Parameter } from '../../platform/database/hot-query.ts';
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

/** Blobs that lost references. */
export type Freed = { readonly registryUid: string; readonly digests: readonly string[]; readonly nowMicros: number };
type Unused = { readonly digest: string; readonly size: number };

/**
 * The other way, after references were removed: ends the blobs' grace, takes those out of use that nothing references any more, and
 * counts their bytes and `bytes` of manifests no longer; answers the bytes of each of those blobs, as `sendAhead`. Goes last: a push locks
 * its blobs, then the registry's count. Many wait for what is locked here, so PostgreSQL is asked for all of it at once.
 */
export async function disuseBlobs(
  tx: Transaction,
  kind: Database['kind'],
  freed: Freed & { readonly bytes: number },
): Promise<() => Promise<ReadonlyMap<string, number>>> {
  const { registryUid: registry, bytes } = freed;
  if (kind === 'postgres' && freed.digests.length > 0 && freed.digests.length <= digestsPerStatement) {
    const unused = await deleteAndSubtract.ahead(tx, { registry, bytes }, await release(tx, kind, freed));
    return async () => bytesOf(await unused());
  }
  const unused = await takeOutOfUse(tx, kind, freed);
  await takeUsage.ahead(tx, { registry, bytes: bytes + sum(unused) });
  return async () => bytesOf(unused);
}

/** The same for who counts anew. */
export async function takeOutOfUse(
  tx: Transaction,
  kind: Database['kind'],
  { registryUid, digests, nowMicros }: Freed,
): Promise<readonly Unused[]> {
  const sorted = [...digests].sort();
  const unused: Unused[] = [];
  for (let start = 0; start < sorted.length; start += digestsPerStatement) {
    const some = { registryUid, digests: sorted.slice(start, start + digestsPerStatement), nowMicros };
    unused.push(...(await deleteUnused(tx, { registry: registryUid }, await release(tx, kind, some))));
  }
  return unused;
}

/**
 * Locks the blobs, so that a push that relies on one is seen here, or waits and finds it out of use. Their digests, in one order for all
 * who lock blobs: nobody waits in a circle.
 */
async function release(
  tx: Transaction,
  kind: Database['kind'],
  { registryUid, digests, nowMicros }: Freed,
): Promise<readonly { readonly digest: string }[]> {
  const sorted = [...digests].sort();
  const items = sorted.map((digest) => ({ digest }));
  await lockBlobs[kind].ahead(tx, { registry: registryUid }, items);
  await releaseBlobs(tx, registryUid, sorted, nowMicros);
  return items;
}

function bytesOf(blobs: readonly Unused[]): ReadonlyMap<string, number> {
  return new Map(blobs.map(({ digest, size }) => [digest, size]));
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

/** Begins with the links of each digest, however few repositories PostgreSQL thinks there are, which could read all of them otherwise. */
function unusedOf(on: Queries, parameter: Parameter<'registry'>, items: readonly Parameter<'digest'>[]) {
  return on
    .deleteFrom('referenced_blobs')
    .where('registry_uid', '=', parameter<string>('registry'))
    .where('digest', 'in', ofEach(items, 'digest'))
    .where((where) =>
      where.not(
        where.exists(
          on
            .selectFrom('blob_links as l')
            .where('l.digest', '=', where.ref('referenced_blobs.digest'))
            .where((link) => isBlobHeld(link.ref('l.repository_uid'), link.ref('l.digest')))
            .where(
              (link) =>
                link
                  .selectFrom('repositories as r')
                  .whereRef('r.uid', '=', 'l.repository_uid')
                  .select('r.registry_uid'),
              '=',
              parameter<string>('registry'),
            )
            .select('l.digest')
            .limit(sql.lit(1))
            .offset(sql.lit(0)),
        ),
      ),
    )
    .returning(['digest', 'size']);
}

const deleteUnused = hotRows(['registry'], ['digest'], unusedOf);

const takeUsage = hotStatement(['registry', 'bytes'], (on, parameter) =>
  lessUsage(on, parameter, sql`${parameter<number>('bytes')}`),
);

/** Both in one, which SQLite does not offer. */
const deleteAndSubtract = hotRows(['registry', 'bytes'], ['digest'], (on, parameter, items) =>
  on
    .with('unused', () => unusedOf(on, parameter, items))
    .with('counted', () =>
      lessUsage(on, parameter, sql`${parameter<number>('bytes')} + (select coalesce(sum(size), 0) from unused)`),
    )
    .selectFrom('unused')
    .select(['digest', 'size']),
);

function lessUsage(on: Queries, parameter: Parameter<'registry'>, bytes: RawBuilder<number>) {
  return on
    .updateTable('registry_usage')
    .set({ bytes: sql<number>`registry_usage.bytes - (${bytes})` })
    .where('registry_uid', '=', parameter<string>('registry'));
}

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

function sum(rows: readonly { readonly size: number }[]): number {
  return rows.reduce((total, row) => total + row.size, 0);
}
