import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldClock } from '../../platform/held-clock.ts';
import { DeliveryPace } from './delivery-pace.ts';

const never = new AbortController().signal;

/** A gate, and the load of its process. */
function paced() {
  const clock = new HeldClock();
  const load = { answered: 0, usedShare: 0 };
  const pace = new DeliveryPace({ clock, answered: () => load.answered, usedShare: () => load.usedShare });
  let passed = 0;
  const passing = async () => {
    while (true) {
      await pace.turn(never);
      passed += 1;
      // Sending takes some time.
      await clock.sleep(10);
    }
  };
  for (let each = 0; each < 10; each += 1) void passing();
  /** How many come through in one second, in which requests are answered at this rate. */
  const passedInASecond = async (requestsPerSecond: number) => {
    const before = passed;
    for (let ms = 0; ms < 1_000; ms += 10) {
      load.answered += requestsPerSecond / 100;
      clock.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return passed - before;
  };
  return { load, pace, passedInASecond };
}

test('beside busy requests about 25 deliveries a second come through', async () => {
  const { load, pace, passedInASecond } = paced();
  load.usedShare = 0.9;
  await passedInASecond(500);
  const passed = await passedInASecond(500);
  assert.ok(passed >= 22 && passed <= 28, String(passed));
  assert.equal(pace.gatherMs(), 1_000);
});

test('deliveries do not wait for themselves: a process that only delivers is not busy', async () => {
  const { load, pace, passedInASecond } = paced();
  load.usedShare = 1;
  assert.equal(await passedInASecond(0), 1_000);
  assert.equal(pace.gatherMs(), 50);
});

test('requests that leave the process time do not slow deliveries', async () => {
  const { load, passedInASecond } = paced();
  load.usedShare = 0.1;
  assert.equal(await passedInASecond(100), 1_000);
});

test('probes, and agents that ask for work, do not slow deliveries', async () => {
  const { load, passedInASecond } = paced();
  load.usedShare = 1;
  for (let second = 0; second < 5; second += 1) assert.equal(await passedInASecond(5), 1_000);
});
