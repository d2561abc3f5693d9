import { z } from 'zod';
import { type Digest, parseDigest } from '../../core/digest.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Place } from './place.ts';

/**
 * What the deletion of a manifest with many referrers has left to do, from its first transaction to its last. It is written in
 * these transactions themselves, so that a process that is killed in between leaves it to another.
 */
export type LeftReferrers = {
  readonly place: Place;
  readonly repositoryUid: string;
  /** The manifest that was asked for. */
  readonly root: Digest;
  /** Manifests that are gone, and whose referrers are to be looked at. */
  readonly subjects: readonly Digest[];
  /** When the deletion began: what came later stays. */
  readonly startedMicros: number;
};

/** Of walks: then the repository's uid, and the digest. */
const prefix = 'referrers ';
const afterPrefix = 'referrers!';

const leftSchema = z.object({
  registryUid: z.string(),
  repositoryUid: z.string(),
  repository: z.string(),
  root: z.string(),
  subjects: z.array(z.string()),
  startedMicros: z.number(),
});

export async function leftReferrers(
  queries: Queries,
  repositoryUid: string,
  root: Digest,
): Promise<LeftReferrers | undefined> {
  const row = await queries
    .selectFrom('walks')
    .where('name', '=', walkOf(repositoryUid, root))
    .select('position')
    .executeTakeFirst();
  return row === undefined ? undefined : leftOf(row.position);
}

/** Those on which nobody has worked since then. */
export async function idleLeftReferrers(
  queries: Queries,
  sinceMicros: number,
  limit: number,
): Promise<readonly LeftReferrers[]> {
  const rows = await queries
    .selectFrom('walks')
    .where('name', '>=', prefix)
    .where('name', '<', afterPrefix)
    .where('changed_at', '<=', sinceMicros)
    .orderBy('changed_at')
    .limit(limit)
    .select('position')
    .execute();
  return rows.map((row) => leftOf(row.position));
}

/** Removes the row when no subject is left. */
export async function keepLeftReferrers(tx: Transaction, left: LeftReferrers, nowMicros: number): Promise<void> {
  if (left.subjects.length === 0) return await forgetLeftReferrers(tx, left);
  const { place, ...rest } = left;
  const name = walkOf(left.repositoryUid, left.root);
  const values = { position: JSON.stringify({ ...place, ...rest }), changed_at: nowMicros };
  await tx
    .insertInto('walks')
    .values({ name, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}

export async function forgetLeftReferrers(
  tx: Transaction,
  { repositoryUid, root }: Pick<LeftReferrers, 'repositoryUid' | 'root'>,
): Promise<void> {
  await tx.deleteFrom('walks').where('name', '=', walkOf(repositoryUid, root)).execute();
}

/** Lets others that are idle go first. */
export async function putOffLeftReferrers(
  tx: Transaction,
  { repositoryUid, root }: Pick<LeftReferrers, 'repositoryUid' | 'root'>,
  nowMicros: number,
): Promise<void> {
  await tx
    .updateTable('walks')
    .set({ changed_at: nowMicros })
    .where('name', '=', walkOf(repositoryUid, root))
    .where('changed_at', '<', nowMicros)
    .execute();
}

/** Its name among walks. */
export function walkOf(repositoryUid: string, root: Digest): string {
  return `${prefix}${repositoryUid} ${root}`;
}

function leftOf(position: string): LeftReferrers {
  const { registryUid, repository, root, subjects, ...rest } = leftSchema.parse(JSON.parse(position));
  return {
    ...rest,
    place: { registryUid, repository: parseRepositoryName(repository) },
    root: parseDigest(root),
    subjects: subjects.map(parseDigest),
  };
}
