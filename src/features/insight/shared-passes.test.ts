import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedPasses, type SharedWork } from './shared-passes.ts';

function heldWork() {
  const began: PromiseWithResolvers<void>[] = [];
  const work = async () => {
    const held = Promise.withResolvers<void>();
    began.push(held);
    await held.promise;
  };
  return { began, work };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('who asks while a pass is under way shares the one after it', async () => {
  const { began, work } = heldWork();
  const passes = new SharedPasses();
  const key = {};
  const ended: string[] = [];
  const ask = (name: string) => passes.run(key, work).then(() => ended.push(name));
  const all = [ask('first'), ask('second'), ask('third')];
  await turn();
  assert.equal(began.length, 1);
  began[0]?.resolve();
  await turn();
  assert.deepEqual([began.length, ended], [2, ['first']]);
  all.push(ask('fourth'));
  began[1]?.resolve();
  await turn();
  assert.deepEqual([began.length, ended], [3, ['first', 'second', 'third']]);
  began[2]?.resolve();
  await Promise.all(all);
  await passes.run(key, async () => {});
});

test('a pass that fails tells those who share it, and the next one runs all the same', async () => {
  const passes = new SharedPasses();
  const key = {};
  let runs = 0;
  const work = async () => {
    runs += 1;
    await turn();
    if (runs < 3) throw new Error(`pass ${runs}`);
  };
  const results = await Promise.allSettled([1, 2, 3].map(() => passes.run(key, work)));
  assert.deepEqual(
    results.map((result) => (result.status === 'rejected' ? result.reason.message : 'done')),
    ['pass 1', 'pass 2', 'pass 2'],
  );
  await passes.run(key, work);
  assert.equal(runs, 3);
});

test('passes over different things do not wait for each other', async () => {
  const { began, work } = heldWork();
  const passes = new SharedPasses();
  const both = [passes.run({}, work), passes.run({}, work)];
  await turn();
  assert.equal(began.length, 2);
  for (const { resolve } of began) resolve();
  await Promise.all(both);
});

test('who waits for a pass hears that it goes on, whoever began it', async () => {
  const passes = new SharedPasses();
  const key = {};
  const steps = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const work: SharedWork = async (step) => {
    for (const { promise } of steps) {
      await promise;
      await step();
    }
  };
  let heard = 0;
  const watch = async () => {
    heard += 1;
  };
  const query = passes.run(key, work);
  const job = passes.run(key, work, watch);
  steps[0]?.resolve();
  await turn();
  assert.equal(heard, 1);
  for (const { resolve } of steps) resolve();
  await Promise.all([query, job]);
  assert.equal(heard, 8);
  await passes.run(key, work);
  assert.equal(heard, 8);
});

test('who has lost the right to wait hears of it alone: the work goes on for the others', async () => {
  const passes = new SharedPasses();
  const key = {};
  let done = 0;
  const work: SharedWork = async (step) => {
    for (let count = 0; count < 3; count += 1) {
      await turn();
      await step();
    }
    done += 1;
  };
  const lost = async () => {
    throw new Error('the lease is lost');
  };
  const results = await Promise.allSettled([passes.run(key, work, lost), passes.run(key, work), passes.run(key, work)]);
  assert.deepEqual(
    results.map((result) => (result.status === 'rejected' ? result.reason.message : 'done')),
    ['the lease is lost', 'done', 'done'],
  );
  assert.equal(done, 2);
});
