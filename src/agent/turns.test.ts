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
