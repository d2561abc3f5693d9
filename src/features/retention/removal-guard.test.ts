import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { RemovalGuard } from './removal-guard.ts';

const hourMs = 3_600_000;
const graceMs = 24 * hourMs;

forEachDatabase((_, open) => {
  let database: Database;
  before(async () => {
    database = await open();
  });
  /** The database's own clock goes with the one that is held. */
  const guardOf = (clock: HeldClock, apartMicros = 0) =>
    new RemovalGuard({
      database: { ...database, nowMicros: async () => clock.nowMicros() + apartMicros },
      clock,
      graceMs,
    });
  let clock = new HeldClock(Date.now() * 1000);
  const startedAgain = (afterMs: number) => {
    clock = new HeldClock(clock.nowMicros() + afterMs * 1000);
    return guardOf(clock);
  };

  test('while time passes evenly, and after a short stop, things may be removed', async () => {
    const guard = guardOf(clock);
    assert.equal(await guard.hindrance(), undefined);
    clock.advance(hourMs);
    assert.equal(await guard.hindrance(), undefined);
    assert.equal(await startedAgain(hourMs).hindrance(), undefined);
  });

  for (const [label, awayMs] of [
    ['long after the last one', 3 * graceMs],
    ['before the last one', -hourMs],
  ] as const)
    test(`a start ${label} waits for a grace`, async () => {
      await guardOf(clock).hindrance();
      const guard = startedAgain(awayMs);
      assert.match((await guard.hindrance()) ?? '', /away for long, or its clock is wrong/);
      clock.advance(graceMs - 1);
      assert.match((await guard.hindrance()) ?? '', /away for long/);
      clock.advance(1);
      assert.equal(await guard.hindrance(), undefined);
    });

  test('a machine whose clock differs from the database removes nothing', async () => {
    assert.match((await guardOf(clock, 120_000_000).hindrance()) ?? '', /differ by more than a minute/);
    assert.match((await guardOf(clock, -120_000_000).hindrance()) ?? '', /differ by more than a minute/);
    assert.equal(await guardOf(clock, 30_000_000).hindrance(), undefined);
  });
});
