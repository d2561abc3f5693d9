import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sideBySide } from './side-by-side.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('all items are worked on, so many at once', async () => {
  const done: number[] = [];
  let underWay = 0;
  let most = 0;
  const work = async (item: number) => {
    underWay += 1;
    most = Math.max(most, underWay);
    await turn();
    underWay -= 1;
    done.push(item);
  };
  await sideBySide([1, 2, 3, 4, 5, 6, 7], 3, work);
  assert.deepEqual([done, most], [[1, 2, 3, 4, 5, 6, 7], 3]);
  await sideBySide([], 3, work);
});

test('a fault ends it once what is under way has ended; what the items come from is closed', async () => {
  let isClosed = false;
  const items = (async function* () {
    try {
      for (let item = 1; ; item += 1) yield item;
    } finally {
      isClosed = true;
    }
  })();
  const begun: number[] = [];
  const slow = Promise.withResolvers<void>();
  let isOver = false;
  const all = sideBySide(items, 3, async (item) => {
    begun.push(item);
    if (item === 2) throw new Error('the disk is broken');
    await slow.promise;
  });
  const outcome = assert.rejects(all, /the disk is broken/).then(() => {
    isOver = true;
  });
  for (let turns = 0; turns < 10; turns += 1) await turn();
  assert.deepEqual([begun, isClosed, isOver], [[1, 2, 3], true, false]);
  slow.resolve();
  await outcome;
});

test('a fault of what the items come from is thrown', async () => {
  const items = (async function* () {
    yield 1;
    throw new Error('no list');
  })();
  await assert.rejects(
    sideBySide(items, 2, async () => {}),
    /no list/,
  );
});
