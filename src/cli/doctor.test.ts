import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { azRest } from '../../test/support/az-rest.ts';
import { startBerth } from '../../test/support/berth-server.ts';
import { tryRun } from '../../test/support/run.ts';

for (const database of ['sqlite', 'postgres'] as const) {
  test(`doctor names the settings of each registry that do nothing yet, on ${database}`, async () => {
    await using server = await startBerth({ database });
    // Settings of the tests are not settings of the program.
    const ours = Object.keys(process.env).filter((name) => name.startsWith('BERTH_'));
    const program = join(import.meta.dirname, '../../bin/berth');
    const doctor = async () => {
      const args = [...ours.flatMap((name) => ['-u', name]), program, 'doctor', '--data', server.dataFolder];
      return (await tryRun('env', args)).stdout.split('\n').filter((line) => /enforced/.test(line));
    };
    assert.deepEqual(await doctor(), ['ok     every setting of the registries is enforced']);

    const rest = await azRest(server);
    const group = `${rest.subscription}/resourceGroups/demo`;
    const registries = `${group}/providers/Microsoft.ContainerRegistry/registries`;
    const location = 'eastus';
    await rest.done('PUT', group, { location });
    const properties = {
      adminUserEnabled: true,
      networkRuleSet: { defaultAction: 'Deny' },
      metadataSearch: 'Enabled',
    };
    await rest.done('PUT', `${registries}/contoso`, { location, sku: { name: 'Premium' }, properties });
    await rest.done('PUT', `${registries}/plain`, { location, sku: { name: 'Basic' } });
    await rest.done('PUT', `${registries}/named`, {
      ...{ location, sku: { name: 'Premium' } },
      properties: { zoneRedundancy: 'Enabled' },
    });
    const stored = 'is stored and not enforced yet';
    assert.deepEqual(await doctor(), [
      `note   registry contoso: metadata search ${stored}: shown as set`,
      `note   registry named: zone redundancy ${stored}: shown as set`,
    ]);
  });
}
