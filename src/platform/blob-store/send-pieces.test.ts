import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BerthError } from '../../core/errors.ts';
import { HeldClock } from '../held-clock.ts';
import { systemClock } from '../system-clock.ts';
import { chunked, sample } from './blob-store-suite.ts';
import { MemoryBudget, type Piece } from './memory-budget.ts';
import { sendPieces } from './send-pieces.ts';

const mebibyte = 1024 * 1024;
const noBytes = new Uint8Array(0);

test('pieces have the lengths that were asked for, in order, whatever the chunks were', async () => {
  const bytes = sample(1_000_003);
  const lengths = [10, 500_000, 300_000, 900_000];
  const options = {
    first: sample(7),
    lengthOf: (index: number) => lengths[index] ?? 1,
    budget: new MemoryBudget(systemClock),
  };
  const pieces = await sendPieces(chunked(bytes), { ...options, send: async (piece) => Buffer.from(piece) });
  assert.deepEqual(Buffer.concat(pieces), Buffer.concat([sample(7), bytes]));
  assert.deepEqual(
    pieces.map((piece) => piece.length),
    [10, 500_000, 300_000, 200_000],
  );
});

test('a fault of one piece comes through once the others have ended, and gives all memory back', async () => {
  const budget = new MemoryBudget(systemClock);
  let underWay = 0;
  const send = async (_: Uint8Array, index: number) => {
    underWay += 1;
    await new Promise((resolve) => setTimeout(resolve, 5));
    underWay -= 1;
    if (index === 1) throw new Error('refused');
  };
  const lengthOf = () => 20 * mebibyte;
  for (let round = 0; round < 4; round += 1) {
    const pushing = sendPieces(chunked(Buffer.alloc(90 * mebibyte)), { first: noBytes, lengthOf, budget, send });
    await assert.rejects(pushing, /refused/);
    assert.equal(underWay, 0);
  }
});

test('when nobody sends any more, memory for one client is kept, and that of a burst is not', async () => {
  const budget = new MemoryBudget(systemClock);
  const burst = async () => await Promise.all(Array.from({ length: 10 }, () => budget.take(5 * mebibyte)));
  const first = await burst();
  for (const piece of first) piece.release(true);
  const again = await burst();
  const known = new Set(first.map(({ memory }) => memory));
  assert.equal(again.filter(({ memory }) => known.has(memory)).length, 3);
  // While somebody sends, all of it is used again.
  for (const piece of again.slice(1)) piece.release(true);
  const others = new Set(again.map(({ memory }) => memory));
  const third = await Promise.all(again.slice(1).map(() => budget.take(5 * mebibyte)));
  assert.ok(third.every(({ memory }) => others.has(memory)));
});

test('a second after the last piece no memory is kept, unless somebody sends again', async () => {
  const clock = new HeldClock();
  const budget = new MemoryBudget(clock);
  const first = await budget.take(5 * mebibyte);
  first.release(true);
  clock.advance(900);
  await nextTurn();
  const second = await budget.take(5 * mebibyte);
  assert.equal(second.memory, first.memory);
  clock.advance(2_000);
  await nextTurn();
  second.release(true);
  clock.advance(1_001);
  await nextTurn();
  assert.notEqual((await budget.take(5 * mebibyte)).memory, first.memory);
});

test('who asks past the budget waits for others in turn, but not for ever', async () => {
  const clock = new HeldClock();
  const budget = new MemoryBudget(clock);
  const first = await budget.take(60 * mebibyte);
  const order: string[] = [];
  const second = budget.take(10 * mebibyte).then((piece) => {
    order.push('second');
    return piece;
  });
  const third = budget.take(1).then((piece) => {
    order.push('third');
    return piece;
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(order, []);
  first.release(true);
  first.release(true);
  await Promise.all([second, third]);
  assert.deepEqual(order, ['second', 'third']);
  const large = budget.take(100 * mebibyte);
  await new Promise((resolve) => setTimeout(resolve, 5));
  clock.advance(10_000);
  assert.equal((await large).memory.length, 100 * mebibyte);
});

test('however many wait, what all hold stays below the upper limit; who finds no room is told to come again', async () => {
  const clock = new HeldClock();
  const budget = new MemoryBudget(clock);
  const taken: Piece[] = [];
  const faults: unknown[] = [];
  const takings = Array.from({ length: 70 }, async () => {
    await budget.take(5 * mebibyte).then(
      (piece) => taken.push(piece),
      (error: unknown) => faults.push(error),
    );
  });
  const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
  await pause();
  assert.equal(taken.length, 12);
  clock.advance(10_000);
  await pause();
  assert.equal(taken.length, 51);
  taken[0]?.release(true);
  await pause();
  assert.equal(taken.length, 52);
  clock.advance(10_000);
  await Promise.all(takings);
  assert.equal(faults.length, 18);
  assert.ok(
    faults.every(
      (fault) => fault instanceof BerthError && fault.error === 'storeAway' && fault.retryAfterSeconds === 5,
    ),
  );
  for (const piece of taken) piece.release(true);
  assert.equal((await budget.take(60 * mebibyte)).memory.length, 60 * mebibyte);
});
