import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClockJumps } from './clock-jumps.ts';
import { HeldClock } from './held-clock.ts';

const dayMs = 86_400_000;

test('a clock that runs evenly never jumped', () => {
  const clock = new HeldClock();
  const jumps = new ClockJumps(clock);
  clock.advance(dayMs);
  assert.equal(jumps.look(), false);
  assert.equal(jumps.evenMs(), Number.POSITIVE_INFINITY);
});

for (const byMs of [dayMs, -dayMs]) {
  test(`a clock moved by ${byMs} ms is noticed once, and runs evenly from then on`, () => {
    const clock = new HeldClock();
    const jumps = new ClockJumps(clock);
    clock.setWall(clock.nowMicros() + byMs * 1000);
    assert.equal(jumps.look(), true);
    assert.equal(jumps.look(), false);
    clock.advance(5_000);
    assert.equal(jumps.evenMs(), 5_000);
  });
}

test('drift is no jump', () => {
  const clock = new HeldClock();
  const jumps = new ClockJumps(clock);
  clock.setWall(clock.nowMicros() + 30_000_000);
  assert.equal(jumps.look(), false);
});
