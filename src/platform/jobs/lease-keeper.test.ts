import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { HeldClock } from '../held-clock.ts';
import { LeaseKeeper } from './lease-keeper.ts';

/** A run that may be silent for two minutes; `renewals` counts what was asked of the database. */
function keeperOf(answer: () => Promise<boolean>) {
  const clock = new HeldClock();
  let renewals = 0;
  const renew = async () => {
    renewals += 1;
    return await answer();
  };
  const keeper = new LeaseKeeper({ clock, kind: { leaseMs: 120_000 }, sinceMs: clock.monotonicMs(), renew });
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      clock.advance(1_000);
      await turn();
    }
  };
  return { keeper, pass, renewals: () => renewals };
}

test('a silent run holds its job until its patience ends, and asks for it no longer then', async () => {
  const { keeper, pass, renewals } = keeperOf(async () => true);
  await pass(107);
  assert.equal(keeper.lost.aborted, false);
  await pass(2);
  assert.equal(keeper.lost.aborted, true);
  const asked = renewals();
  await pass(60);
  assert.equal(renewals(), asked);
  await assert.rejects(keeper.extend(), /lease of the job is lost/);
});

test('a run that says it goes on holds its job for as long as it does', async () => {
  const { keeper, pass } = keeperOf(async () => true);
  for (let minute = 0; minute < 5; minute += 1) {
    await pass(60);
    await keeper.extend();
  }
  assert.equal(keeper.lost.aborted, false);
  keeper.end();
});

test('without an answer of the database the job is lost before another process may take it', async () => {
  const { keeper, pass } = keeperOf(async () => {
    throw new Error('the database is away');
  });
  await pass(22);
  assert.equal(keeper.lost.aborted, false);
  await pass(2);
  assert.equal(keeper.lost.aborted, true);
});

test('a job that another process has taken is lost at the next renewal', async () => {
  const { keeper, pass } = keeperOf(async () => false);
  await pass(9);
  assert.equal(keeper.lost.aborted, true);
});

test('a run that ended asks for nothing', async () => {
  const { keeper, pass, renewals } = keeperOf(async () => true);
  keeper.end();
  await pass(300);
  assert.equal(renewals(), 0);
});
