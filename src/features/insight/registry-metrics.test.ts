import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createLog } from '../../platform/log.ts';
import type { Grain } from './metric.ts';
import { expireValues, valuesOf } from './metric-store.ts';
import { RegistryMetrics } from './registry-metrics.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const told = { registries: () => [{ uid: 'contoso', name: 'contoso' }], metricsRegistries: 10 };
const minuteMicros = 60_000_000;

forEachDatabase((_, open) => {
  async function pulls(database: Database, grain: Grain) {
    const asked = { registryUid: 'contoso', metrics: ['TotalPullCount'], grain } as const;
    const values = await valuesOf(database.read, { ...asked, fromMicros: 0, toMicros: Number.MAX_SAFE_INTEGER });
    return values.map(({ total, count, minimum, maximum }) => ({ total, count, minimum, maximum }));
  }

  test('two processes add to the same minute and hour; other registries have their own', async () => {
    const database = await open();
    const clock = new HeldClock();
    const [first, second] = [0, 1].map(() => new RegistryMetrics({ ...told, database, clock, log }));
    assert(first !== undefined && second !== undefined);
    for (const value of [1, 1, 5]) first.add('contoso', 'TotalPullCount', value);
    second.add('contoso', 'TotalPullCount', 2);
    second.add('fabrikam', 'TotalPullCount', 100);
    await Promise.all([first.flush(), second.flush()]);
    clock.advance(60_000);
    first.add('contoso', 'TotalPullCount', 7);
    await Promise.all([first.close(), second.close()]);
    assert.deepEqual(await pulls(database, 60), [
      { total: 9, count: 4, minimum: 1, maximum: 5 },
      { total: 7, count: 1, minimum: 7, maximum: 7 },
    ]);
    assert.deepEqual(await pulls(database, 3_600), [{ total: 16, count: 5, minimum: 1, maximum: 7 }]);
    assert.equal(first.told()[0]?.total('TotalPullCount'), 14);
  });

  test('what was counted comes to the database by itself, ten seconds later', async () => {
    const database = await open();
    const clock = new HeldClock();
    const metrics = new RegistryMetrics({ ...told, database, clock, log });
    metrics.add('contoso', 'TotalPullCount', 1);
    assert.deepEqual(await pulls(database, 60), []);
    clock.advance(10_000);
    await waitFor('it is there', 60_000, async () => (await pulls(database, 60)).length > 0);
    assert.equal((await pulls(database, 60)).length, 1);
    await metrics.close();
  });

  test('what could not be written is written later', async () => {
    const database = await open();
    let isBroken = true;
    const transaction: Database['transaction'] = async (work, options) => {
      if (isBroken) throw new Error('the disk is full');
      return await database.transaction(work, options);
    };
    const metrics = new RegistryMetrics({
      ...told,
      database: { ...database, transaction },
      clock: new HeldClock(),
      log,
    });
    metrics.add('contoso', 'TotalPullCount', 1);
    await assert.rejects(metrics.flush());
    metrics.add('contoso', 'TotalPullCount', 2);
    isBroken = false;
    await metrics.close();
    assert.deepEqual(await pulls(database, 60), [{ total: 3, count: 2, minimum: 1, maximum: 2 }]);
  });

  test('minutes leave after a week, hours after 93 days', async () => {
    const database = await open();
    const clock = new HeldClock();
    const metrics = new RegistryMetrics({ ...told, database, clock, log });
    metrics.add('contoso', 'TotalPullCount', 1);
    await metrics.close();
    const dayMicros = 1_440 * minuteMicros;
    await expireValues(database, clock.nowMicros() + 6 * dayMicros);
    assert.equal((await pulls(database, 60)).length, 1);
    await expireValues(database, clock.nowMicros() + 8 * dayMicros);
    assert.deepEqual([(await pulls(database, 60)).length, (await pulls(database, 3_600)).length], [0, 1]);
    await expireValues(database, clock.nowMicros() + 94 * dayMicros);
    assert.equal((await pulls(database, 3_600)).length, 0);
  });
});
