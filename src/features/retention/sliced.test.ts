import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { breathing, filtered, mapped } from './sliced.ts';

const items = Array.from({ length: 100 }, (_, index) => index);

function afterTwoMs<T>(answer: T): T {
  const endMs = performance.now() + 2;
  while (performance.now() < endMs);
  return answer;
}

/** How often something else got its turn. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let [turns, isDone] = [0, false];
  const working = work().finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await turn();
    turns += 1;
  }
  await working;
  return turns;
}

test('few items that take long each let others go on between them', async () => {
  const turns = await turnsDuring(async () => {
    const results = await breathing(mapped(items, (item) => afterTwoMs(item % 2 === 0 ? item : undefined)));
    assert.equal(results.length, 50);
  });
  assert.ok(turns > 15, `${turns} turns in 200 ms`);
});

test('a filter that takes long for each item lets others go on between them', async () => {
  const turns = await turnsDuring(async () => {
    const taken = await Array.fromAsync(filtered(items, (item) => afterTwoMs(item >= 98)));
    assert.deepEqual(taken, [98, 99]);
  });
  assert.ok(turns > 15, `${turns} turns in 200 ms`);
});
