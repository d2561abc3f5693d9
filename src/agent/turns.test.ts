import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from './turns.ts';

test('so many work at a time, whether they end well or not, and others in their order', async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  let atOnce = 0;
  let most = 0;
  const work = async (number: number) => {
    begun.push(number);
    atOnce += 1;
    most = Math.max(most, atOnce);
    await new Promise((resolve) => setImmediate(resolve));
    atOnce -= 1;
    if (number % 2 === 1) throw new Error(`number ${number}`);
    return number;
  };
  const numbers = [...Array(7).keys()];
  const ends = await Promise.allSettled(numbers.map((number) => turns.take(() => work(number))));
  assert.equal(most, 2);
  assert.deepEqual(begun, numbers);
  assert.deepEqual(
    ends.map(({ status }) => status === 'fulfilled'),
    numbers.map((number) => number % 2 === 0),
  );
  assert.equal(await turns.take(() => work(8)), 8);
});
test('who waits and is told to stop waits no longer, and takes nothing from those behind', async () => {
  const turns = new Turns(1);
  const { promise: end, resolve } = Promise.withResolvers<void>();
  const first = turns.take(() => end);
  const stopper = new AbortController();
  const stopped = turns.take(async () => assert.fail('it has no turn'), stopper.signal);
  const behind = turns.take(async () => 'behind', new AbortController().signal);
  stopper.abort(new Error('enough'));
  await assert.rejects(stopped, /enough/);
  await assert.rejects(
    turns.take(async () => 'late', stopper.signal),
    /enough/,
  );
  resolve();
  await first;
  assert.equal(await behind, 'behind');
  assert.equal(await turns.take(async () => 'free'), 'free');
});
