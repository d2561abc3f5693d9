import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { AzMachine, azReleasesInTurn } from '../support/az-machine.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { waitFor } from '../support/wait-for.ts';
import { useWorkbench } from './workbench.ts';

const listSchema = z.looseObject({
  value: z.array(
    z.looseObject({
      name: z.looseObject({ value: z.string() }),
      unit: z.string(),
      timeseries: z.array(
        z.looseObject({ data: z.array(z.looseObject({ total: z.number().nullish(), average: z.number().nullish() })) }),
      ),
    }),
  ),
});

/** `az monitor metrics` unmodified, on a registry. */
for (const release of azReleasesInTurn('debian'))
  describe(`az ${release.version}: monitor`, () => {
    const bench = useWorkbench();
    let az: AzMachine;
    let registry = '';
    before(async () => {
      const { server, folder } = bench();
      az = await AzMachine.setUp(server, release, join(folder, 'machine'));
      registry = (await az.type('az acr show -n local --query id -o tsv')).trim();
    });

    async function totals(metrics: string, options: string): Promise<Record<string, number>> {
      const list = await az.json(`az monitor metrics list --resource ${registry} --metric ${metrics} ${options}`);
      const { value } = listSchema.parse(list);
      return Object.fromEntries(
        value.map(({ name, timeseries }) => {
          const data = timeseries.flatMap((series) => series.data);
          // Of averages the last: the hour may have changed meanwhile.
          return [name.value, data.reduce((sum, { total, average }) => average ?? sum + (total ?? 0), 0)];
        }),
      );
    }

    test('pulls and pushes are counted, by the minute and the hour', async () => {
      const { server } = bench();
      await pushSample(server, 'team/app', platformImage('monitor'), 'v1', 'v2');
      for (const tag of ['v1', 'v1', 'v2', 'missing']) await asAdmin(server, 'GET', `/v2/team/app/manifests/${tag}`);
      const names = 'TotalPullCount SuccessfulPullCount TotalPushCount SuccessfulPushCount';
      const counted = { TotalPullCount: 4, SuccessfulPullCount: 3, TotalPushCount: 2, SuccessfulPushCount: 2 };
      await waitFor('the counts are written', 120_000, async () => {
        assert.deepEqual(await totals(names, '--interval 1m --aggregation Total'), counted);
        return true;
      });
      assert.deepEqual(await totals(names, '--interval 1h --offset 1d'), counted);
    });

    test('storage has the location as a dimension', async () => {
      const used = Number(
        await az.json('az acr show-usage -n local --query "value[?name==\'Size\'].currentValue|[0]"'),
      );
      assert(used > 1_000);
      const options = `--interval 1h --filter "Geolocation eq '*'"`;
      assert.equal((await totals('StorageUsed', options)).StorageUsed, used);
    });

    test('definitions and namespaces', async () => {
      const definitions = await az.type(`az monitor metrics list-definitions --resource ${registry} -o table`);
      assert.match(definitions, /^Storage used +StorageUsed +Bytes +Average +False +Geolocation/m);
      assert.match(definitions, /^AgentPool CPU Time +AgentPoolCPUTime +Seconds +Total/m);
      const namespaces = await az.type(`az monitor metrics list-namespaces --resource ${registry} -o table`);
      assert.match(namespaces, /Microsoft.ContainerRegistry\/registries/);
    });

    test('an unknown metric is refused with those there are', async () => {
      const line = `az monitor metrics list --resource ${registry} --metric Nope`;
      assert.match(await az.refused(line), /metric: Nope, Valid metrics: StorageUsed,TotalPullCount/);
    });
  });
