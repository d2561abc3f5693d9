import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldClock } from './held-clock.ts';
import { systemClock } from './system-clock.ts';

for (const [name, clock] of [
  ['system', systemClock],
  ['held', new HeldClock()],
] as const) {
  test(`a sleep on the ${name} clock ends with the reason of its signal`, async () => {
    const reason = new Error('stop');
    const controller = new AbortController();
    const sleep = clock.sleep(60_000, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleep, reason);
    await assert.rejects(clock.sleep(1, controller.signal), reason);
  });
}

test('the system clock sleeps, and tells wall time in whole microseconds', async () => {
  const before = systemClock.monotonicMs();
  await systemClock.sleep(20);
  assert.ok(systemClock.monotonicMs() - before >= 19);
  assert.ok(Number.isSafeInteger(systemClock.nowMicros()));
  assert.ok(Math.abs(systemClock.nowMicros() / 1000 - Date.now()) < 1000);
});
