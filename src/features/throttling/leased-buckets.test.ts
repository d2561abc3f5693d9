import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { RequestClass, ThrottleTableName } from '../../core/throttle-limits.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { Registry } from '../registries/registry.ts';
import { forgetBuckets } from './bucket-store.ts';
import { LeasedBuckets } from './leased-buckets.ts';
import { OwnBuckets } from './own-buckets.ts';
import { Throttle, type Throttled } from './throttle.ts';

const processes = 8;
const registry: Pick<Registry, 'uid' | 'sku' | 'isThrottled'> = { uid: 'contoso', sku: 'Basic', isThrottled: true };
const address = '192.0.2.1';
const anna: Throttled = { registry, principal: { kind: 'user', uid: 'anna' }, address };
/** Of the identity's bucket of writes, a Basic registry's. */
const perMinute = 1_000;

forEachDatabase((_, open) => {
  test('eight processes together let through what one bucket holds, within 5 %', async () => {
    const { throttles, clock } = await installation();
    const first = await roundRobin(throttles, 2 * perMinute);
    assertNear(first.admitted, perMinute);
    assert.deepEqual(first.waits, [60], 'all of them refuse until the same moment');
    clock.advance(30_000);
    assert.deepEqual(await roundRobin(throttles, processes), { admitted: 0, waits: [30] });
    clock.advance(30_000);
    assertNear((await roundRobin(throttles, 2 * perMinute)).admitted, perMinute);
  });

  test('at a rate below the limit nobody is refused, however it is spread', async () => {
    const { throttles, clock } = await installation();
    let admitted = 0;
    for (let second = 0; second < 90; second++) {
      admitted += (await roundRobin(throttles.slice(second % processes), 16)).admitted;
      clock.advance(1_000);
    }
    assert.equal(admitted, 90 * 16);
  });

  test('one process may spend nearly all, though each of the others holds a slice', async () => {
    const { throttles } = await installation();
    const before = await roundRobin(throttles, processes);
    const [busy] = throttles;
    assert.ok(busy);
    assertNear(before.admitted + (await roundRobin([busy], 2 * perMinute)).admitted, perMinute);
  });

  test('requests at the same moment are not counted short', async () => {
    const { throttles } = await installation();
    const answers = await Promise.all(
      Array.from({ length: 2 * perMinute }, async (_unused, index) => {
        return await throttles[index % processes]?.admit(anna, 'write');
      }),
    );
    assertNear(answers.filter((answer) => answer?.isAdmitted).length, perMinute);
  });

  test('a bucket is written for each slice, not for each request', async () => {
    const { throttles, writes } = await installation();
    await roundRobin(throttles, 5_000, 'read');
    // Two buckets; slices of 19 and 39 requests.
    assert.ok(writes() < 450, `${writes()} transactions for 5,000 requests`);
  });

  const small = [
    { table: 'current', requestClass: 'referrers', holds: 250 },
    { table: 'current', requestClass: 'delete', holds: 500 },
    { table: 'older', requestClass: 'write', holds: 100 },
  ] as const;
  for (const { table, requestClass, holds } of small)
    test(`a bucket of ${holds} is not written for each request either, and each process keeps few from the others`, async () => {
      const { throttles, writes } = await installation(table);
      const [busy] = throttles;
      assert.ok(busy);
      const before = await roundRobin(throttles, processes, requestClass);
      const written = writes();
      const { admitted } = await roundRobin([busy], 2 * holds, requestClass);
      assert.ok(writes() - written < 0.6 * admitted, `${writes() - written} transactions for ${admitted} requests`);
      const kept = holds - before.admitted - admitted;
      assert.ok(kept >= 0 && kept <= 3 * (processes - 1), `${kept} of ${holds} kept from it`);
    });

  test('a full bucket needs no row', async () => {
    const { throttles, clock, database } = await installation();
    await roundRobin(throttles, 10);
    clock.advance(120_000);
    await forgetBuckets(database, clock.nowMicros() - 60_000_000);
    const rows = await database.read.selectFrom('throttle_buckets').select('bucket').execute();
    assert.deepEqual(rows, []);
    assertNear((await roundRobin(throttles, 2 * perMinute)).admitted, perMinute);
  });

  async function installation(table: ThrottleTableName = 'current') {
    const clock = new HeldClock();
    const database = await open();
    let transactions = 0;
    const counted = (each: Database): Database => ({
      ...each,
      transaction: async (work, options) => {
        transactions += 1;
        return await each.transaction(work, options);
      },
    });
    const opened = [database];
    while (opened.length < processes) opened.push(await open({ again: database }));
    const throttles = opened.map((each) => {
      const buckets = new LeasedBuckets({ database: counted(each), clock });
      return new Throttle({ buckets, addresses: new OwnBuckets(clock), table, pauseMs: 60_000 });
    });
    return { clock, database, throttles, writes: () => transactions };
  }
});

/** So many requests of one identity, each to the next process; answers the seconds of waiting that were told, too. */
async function roundRobin(throttles: readonly Throttle[], times: number, requestClass: RequestClass = 'write') {
  const waits = new Set<number>();
  let admitted = 0;
  for (let index = 0; index < times; index++) {
    const admission = await throttles[index % throttles.length]?.admit(anna, requestClass);
    if (admission?.isAdmitted) admitted += 1;
    else if (admission !== undefined) waits.add(admission.retryAfterMs / 1_000);
  }
  return { admitted, waits: [...waits] };
}

function assertNear(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= expected * 0.05, `${actual} of ${expected}`);
}
