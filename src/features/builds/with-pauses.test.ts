import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../platform/system-clock.ts';
import { withPauses } from './with-pauses.ts';

test('between items that take their time come pauses, and none between others', async () => {
  async function* slow() {
    yield { id: 1 };
    yield { id: 2 };
    await systemClock.sleep(250);
    yield { id: 3 };
  }
  const all = await Array.fromAsync(withPauses(slow(), systemClock, 50));
  const pauses = all.filter((item) => item === undefined).length;
  assert.deepEqual(
    all.filter((item) => item !== undefined).map(({ id }) => id),
    [1, 2, 3],
  );
  assert.deepEqual([all[0], all[1], all[2], all.at(-1)], [{ id: 1 }, { id: 2 }, undefined, { id: 3 }]);
  assert.ok(pauses >= 1 && pauses <= 5, `${pauses}`);
});

test('what fails while it is waited for is thrown, and whoever leaves early ends the items', async () => {
  async function* failing() {
    yield { id: 1 };
    await systemClock.sleep(60);
    throw new Error('it broke');
  }
  await assert.rejects(Array.fromAsync(withPauses(failing(), systemClock, 20)), /it broke/);
  let isEnded = false;
  async function* endless() {
    try {
      while (true) yield { id: 1 };
    } finally {
      isEnded = true;
    }
  }
  for await (const _ of withPauses(endless(), systemClock, 20)) break;
  assert.equal(isEnded, true);
});
