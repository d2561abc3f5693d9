import { sql } from 'kysely';
import { type Bucket, type BucketRule, drawFrom, fullBucket, wholeRequests } from '../../core/token-bucket.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotStatement } from '../../platform/database/hot-query.ts';

export type Drawing = {
  readonly drawn: number;
  /** Requests left in the bucket. */
  readonly remaining: number;
  readonly closedUntilMicros: number;
};

/**
 * Draws up to `wanted` requests from a bucket that all processes share. The time is that of the asking process: what clocks differ
 * by is not filled twice.
 */
export async function drawFromStored(
  database: Database,
  { key, rule, nowMicros, wanted }: StoredDraw,
): Promise<Drawing> {
  return await database.transaction(
    async (tx) => {
      const { bucket, drawn } = drawFrom(await lockedBucket(tx, key, rule, nowMicros), rule, nowMicros, wanted);
      await writeBucket(tx, { key, level: bucket.level, at: bucket.atMicros, until: bucket.closedUntilMicros });
      return { drawn, remaining: wholeRequests(bucket), closedUntilMicros: bucket.closedUntilMicros };
    },
    { mayBeLost: true },
  );
}

export type StoredDraw = {
  readonly key: string;
  readonly rule: BucketRule;
  readonly nowMicros: number;
  readonly wanted: number;
};

/** Forgets buckets that nobody has drawn from since then: they are full. */
export async function forgetBuckets(database: Database, beforeMicros: number): Promise<void> {
  await database.transaction(
    async (tx) => await tx.deleteFrom('throttle_buckets').where('changed_at', '<', beforeMicros).execute(),
    { mayBeLost: true },
  );
}

/** Nobody else draws from it before the transaction ends. */
async function lockedBucket(tx: Transaction, key: string, rule: BucketRule, nowMicros: number): Promise<Bucket> {
  const { level, atMicros } = fullBucket(rule, nowMicros);
  const row = await findOrInsert(tx, { key, level, at: atMicros });
  if (row === undefined) throw new Error('an inserted bucket is not there');
  return { level: row.level, atMicros: row.changed_at, closedUntilMicros: row.closed_until };
}

/** The change that changes nothing locks a row that is there. */
const findOrInsert = hotStatement(['key', 'level', 'at'], (on, parameter) =>
  on
    .insertInto('throttle_buckets')
    .values({ bucket: parameter('key'), level: parameter('level'), changed_at: parameter('at'), closed_until: 0 })
    .onConflict((conflict) => conflict.column('bucket').doUpdateSet({ level: sql<number>`throttle_buckets.level` }))
    .returning(['level', 'changed_at', 'closed_until']),
);

const writeBucket = hotStatement(['key', 'level', 'at', 'until'], (on, parameter) =>
  on
    .updateTable('throttle_buckets')
    .set({ level: parameter('level'), changed_at: parameter('at'), closed_until: parameter('until') })
    .where('bucket', '=', parameter<string>('key')),
);
