import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Bucket, drawFrom, fullBucket, giveBackTo, wholeRequests } from './token-bucket.ts';

const second = 1_000_000;
const rule = { perMinute: 600, pauseMicros: 60 * second };
const emptyBucket: Bucket = { level: 0, atMicros: 0, closedUntilMicros: 0 };

test('a full bucket gives a minute of requests at once, and no more', () => {
  const first = drawFrom(fullBucket(rule, 0), rule, 0, 10_000);
  assert.equal(first.drawn, 600);
  assert.equal(drawFrom(first.bucket, rule, 0, 1).drawn, 0);
});

test('it fills evenly, up to its size', () => {
  assert.equal(drawFrom(emptyBucket, rule, 0.1 * second, 5).drawn, 1);
  assert.equal(drawFrom(emptyBucket, rule, 3 * second, 100).drawn, 30);
  assert.equal(drawFrom(emptyBucket, rule, 3_600 * second, 10_000).drawn, 600);
});

test('found empty it refuses for the pause, fills meanwhile, and gives again afterwards', () => {
  const closed = drawFrom(emptyBucket, rule, 0, 1).bucket;
  assert.equal(closed.closedUntilMicros, 60 * second);
  const later = drawFrom(closed, rule, 10 * second, 1);
  assert.equal(later.drawn, 0);
  assert.equal(later.bucket.closedUntilMicros, 60 * second, 'asking does not prolong it');
  assert.equal(wholeRequests(later.bucket), 100);
  const open = drawFrom(later.bucket, rule, 60 * second, 10_000);
  assert.deepEqual([open.drawn, open.bucket.closedUntilMicros], [600, 0]);
});

test('what is given back can be drawn again, and never overfills', () => {
  const { bucket } = drawFrom(fullBucket(rule, 0), rule, 0, 2);
  assert.equal(wholeRequests(giveBackTo(bucket, rule, 1)), 599);
  assert.equal(wholeRequests(giveBackTo(bucket, rule, 100)), 600);
});

test('of two clocks the one ahead fills, and no second counts twice', () => {
  const ahead = drawFrom(emptyBucket, rule, 10 * second, 40).bucket;
  assert.equal(wholeRequests(ahead), 60);
  const behind = drawFrom(ahead, rule, 8 * second, 60);
  assert.deepEqual([behind.drawn, behind.bucket.atMicros], [60, 10 * second]);
});

test('a clock that was far ahead does not stop the bucket', () => {
  const fromTheFuture: Bucket = { level: 0, atMicros: 86_400 * second, closedUntilMicros: 86_460 * second };
  const { bucket } = drawFrom(fromTheFuture, rule, 0, 1);
  assert.deepEqual([bucket.atMicros, bucket.closedUntilMicros], [0, 60 * second]);
  assert.equal(drawFrom(bucket, rule, 60 * second, 10_000).drawn, 600);
});
