import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { metricOf } from './metric.ts';
import { answerMetrics, type MetricQuestion } from './metric-query.ts';
import { addValues } from './metric-store.ts';

const hour = 3_600_000_000;
const noon = Date.UTC(2030, 0, 31, 12) * 1_000;
const pulls = metricOf('TotalPullCount') ?? assert.fail();
const storage = metricOf('StorageUsed') ?? assert.fail();

forEachDatabase((_, open) => {
  async function measured() {
    const database = await open();
    const at = (minutes: number, value: number) => ({
      ...({ registryUid: 'contoso', metric: 'TotalPullCount', atMicros: noon + minutes * 60_000_000 } as const),
      ...{ total: value, count: 1, minimum: value, maximum: value },
    });
    await database.transaction((tx) => addValues(tx, [at(0, 1), at(1, 2), at(59, 3), at(60, 4), at(-20_000, 9)]));
    const common = { registryUid: 'contoso', metrics: [pulls], nowMicros: noon + 2 * hour };
    return async (
      question: Pick<MetricQuestion, 'fromMicros' | 'toMicros' | 'intervalMicros'> & Partial<MetricQuestion>,
    ) => {
      const answer = await answerMetrics(database.read, { ...common, ...question });
      const totals = answer.series.map(({ points }) => points.map((point) => point.measured?.total));
      return { ...answer, totals };
    };
  }

  test('intervals begin with the time asked for', async () => {
    const ask = await measured();
    const from = noon + 60_000_000;
    const byHour = await ask({ fromMicros: from, toMicros: from + hour, intervalMicros: hour });
    assert.deepEqual(byHour.totals, [[9]]);
    const byMinute = await ask({ fromMicros: noon, toMicros: noon + 3 * 60_000_000, intervalMicros: 60_000_000 });
    assert.deepEqual(byMinute.totals, [[1, 2, undefined]]);
    const whole = await ask({ fromMicros: noon, toMicros: noon + 2 * hour, intervalMicros: undefined });
    assert.deepEqual(whole.totals, [[10]]);
  });

  test('what is older than a week is answered by the hour, whatever was asked', async () => {
    const ask = await measured();
    const from = noon - 20_000 * 60_000_000;
    const { intervalMicros, totals } = await ask({
      fromMicros: from,
      toMicros: from + hour,
      intervalMicros: 60_000_000,
    });
    assert.deepEqual([intervalMicros, totals], [hour, [[9, undefined]]]);
  });

  test('storage is what there is now, before it was measured in this hour', async () => {
    const ask = await measured();
    const now = noon + 2 * hour;
    const { totals } = await ask({
      metrics: [storage],
      fromMicros: now - hour,
      toMicros: now + 1,
      intervalMicros: hour,
    });
    assert.deepEqual(totals, [[undefined, 0]]);
  });

  test('nothing of another registry', async () => {
    const ask = await measured();
    const { totals } = await ask({
      registryUid: 'fabrikam',
      fromMicros: noon,
      toMicros: noon + hour,
      intervalMicros: hour,
    });
    assert.deepEqual(totals, [[undefined]]);
  });
});
