import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { ContentLife, type LifeParts } from '../../../test/support/content-life.ts';
import { type ContentBench, contentBench } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { HeldClock } from '../../platform/held-clock.ts';

// One life again: BERTH_TEST_LIVES=1 BERTH_TEST_SEED=<its seed>. What happens at once may end in another order then.
const { BERTH_TEST_LONG, BERTH_TEST_SEED, BERTH_TEST_LIVES } = process.env;
const longCount = BERTH_TEST_LONG === '1' ? 2_000 : undefined;
const counts = { sqlite: 20, postgres: 4 };
/** Short runs have the same lives each time, so that a change is judged by them alone; long runs have lives that nobody has seen. */
const seedOf = (ordinal: number) => (longCount === undefined ? ordinal * 1_000_000 : randomInt(2 ** 31 - longCount));
const kinds = [1, 3].flatMap((atOnce) => [false, true].map((keepsDeleted) => ({ atOnce, keepsDeleted })));

forEachDatabase((kind, open) => {
  let bench: ContentBench;
  let parts: LifeParts;
  const count = Number(BERTH_TEST_LIVES ?? longCount ?? counts[kind]);

  before(async () => {
    const clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
    parts = {
      bench,
      clock,
      processes: [bench.here, await bench.another()],
      taken: { retention: 0, expiry: 0, purge: 0 },
    };
  });
  after(() => bench.folder.remove());

  for (const [ordinal, { atOnce, keepsDeleted }] of kinds.entries()) {
    const policy = keepsDeleted ? 'with' : 'without';
    const how = atOnce === 1 ? 'step by step' : `up to ${atOnce} steps at once in two processes`;
    test(`F-27: ${count} random lives of content ${policy} soft delete, ${how}, agree with the model`, async (t) => {
      const first = Number(BERTH_TEST_SEED ?? seedOf(ordinal));
      t.diagnostic(`seeds ${first} to ${first + count - 1}`);
      for (let seed = first; seed < first + count; seed += 1)
        await new ContentLife(parts, { seed, keepsDeleted, atOnce }).run();
    });
  }

  // A few lives may be without.
  if (count >= counts.sqlite)
    test('the lives gave retention, expiry and purge something to do', (t) => {
      t.diagnostic(JSON.stringify(parts.taken));
      for (const [what, taken] of Object.entries(parts.taken)) assert(taken > 0, what);
    });
});
