import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LoadSample } from '../../features/insight/load-sample.ts';
import { metrics } from '../../features/insight/metric.ts';
import { RegistryTotals } from '../../features/insight/registry-totals.ts';
import { createMetrics } from './metrics.ts';

test('ten thousand registries have as many lines as are wanted, and what is told adds up', async () => {
  const limit = 10;
  const registries = Array.from({ length: 10_000 }, (_, at) => ({ uid: `uid${at}`, name: `registry${at}` }));
  const totals = new RegistryTotals(limit);
  for (const { uid } of registries) totals.add(uid, 'TotalPullCount', 1);
  const sample: LoadSample = { ...quiet, storedBytes: new Map(registries.map(({ uid }) => [uid, 5])) };
  const text = await createMetrics({
    droppedLogLines: () => 0,
    ofRegistries: {
      registries: () => totals.tell(registries),
      load: async () => sample,
      databaseUse: () => ({ waiting: 0, pool: undefined }),
    },
  }).render();
  const lines = text.split('\n').filter((line) => line.includes('registry="'));
  assert.equal(lines.length, metrics.length * (limit + 1));
  for (const line of ['TotalPullCount{registry="_others"} 9990', 'StorageUsed{registry="_others"} 49950'])
    assert.ok(lines.includes(line), line);
  assert.ok(lines.includes('StorageUsed{registry="registry0"} 5'));
});

const quiet: LoadSample = {
  jobs: [],
  oldestDueSeconds: 0,
  behind: [],
  failingWebhooks: 0,
  webhooksBehind: 0,
  failingDiagnostics: 0,
  droppedLines: 0,
  storedBytes: new Map(),
  connections: [],
  transactionSeconds: 0,
  damagedBlobs: 0,
  scrub: undefined,
};
