import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentBuckets } from './recent-buckets.ts';

test('of 20,000 buckets the one that was set longest ago is forgotten', () => {
  const buckets = new RecentBuckets<number>();
  for (let index = 0; index < 20_000; index++) buckets.set(`bucket${index}`, index);
  buckets.set('bucket0', 100);
  buckets.set('another', 101);
  const known = ['bucket0', 'bucket1', 'bucket2', 'another'].map((key) => buckets.get(key));
  assert.deepEqual(known, [100, undefined, 2, 101]);
});
