import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JournalEvent } from '../../platform/journal/journal.ts';
import { type Batching, groupsOf } from './delivery-groups.ts';

const place = { stream: 'registry/r/here', incarnation: 'i' };

/** The push of an image with so many tags. */
function pushed(seq: number, ...tags: readonly string[]): JournalEvent {
  const data = { repository: 'app', digest: 'sha256:00', tags };
  const common = { hash: '', occurredAtMicros: 1, actor: 'olivia', version: 1 };
  return { ...place, seq, type: 'manifest.pushed', ...common, data };
}

/** Tags of each request, and where the webhook stands then. */
function requests(batching: Partial<Batching>, part: number, ...events: readonly JournalEvent[]) {
  const all: Batching = {
    wants: ({ action }) => action === 'push',
    ...{ batchSize: 100, batchBytes: 1_000, sizeOf: () => 1, ...batching },
  };
  return [...groupsOf(events, { ...place, seq: 0, part }, all)].map(
    ({ notifications, end }) =>
      `${notifications.map(({ target }) => target.tag).join(' ')} to ${end.seq}${end.part === 0 ? '' : `+${end.part}`}`,
  );
}

test('what a page says goes in one request, and the last group moves on past what nobody wants', () => {
  assert.deepEqual(requests({}, 0, pushed(1, 'a', 'b'), pushed(2, 'c')), ['a b c to 2']);
  assert.deepEqual(requests({ wants: () => false }, 0, pushed(1, 'a')), [' to 1']);
});

test('no more go in one request than are wanted at once', () => {
  assert.deepEqual(requests({ batchSize: 2 }, 0, pushed(1, 'a', 'b', 'c')), ['a b to 0+3', 'c to 1']);
});

test('a request is as large as is wanted, and larger for what alone is larger', () => {
  const sizeOf: Batching['sizeOf'] = ({ target }) => (target.tag === 'long' ? 50 : 4);
  const sized = { batchBytes: 10, sizeOf };
  assert.deepEqual(requests(sized, 0, pushed(1, 'a', 'b', 'c')), ['a b to 0+4', 'c to 1']);
  assert.deepEqual(requests(sized, 0, pushed(1, 'a'), pushed(2, 'long'), pushed(3, 'b')), [
    'a to 1',
    'long to 2',
    'b to 3',
  ]);
});

test('what was told of an event is not told again', () => {
  assert.deepEqual(requests({ batchSize: 1 }, 1, pushed(1, 'a', 'b')), ['b to 0+3', ' to 1']);
});
