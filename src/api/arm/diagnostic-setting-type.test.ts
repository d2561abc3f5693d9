import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess } from '../../../test/support/sample-access.ts';
import { childName } from '../../features/resources/resource-names.ts';
import { findByUid } from '../../features/resources/resource-store.ts';
import { Resources } from '../../features/resources/resources.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { systemClock as clock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { registryDiagnosticSettingType } from './diagnostic-setting-type.ts';

forEachDatabase((_, open) => {
  test('a registry has five diagnostic settings at most, also when many are made at once', async () => {
    const database = await open();
    const { tenantUid, registryUid } = await sampleAccess(database);
    const journal = createJournal({ database, clock, ids });
    const resources = new Resources({ database, journal, clock, ids, tenantUid, jobs: { add: async () => {} } });
    const registry = (await findByUid(database.read, registryUid)) ?? assert.fail();
    const type = registryDiagnosticSettingType({ database, logDestinations: ['siem'] });
    const desired = { location: undefined, tags: {}, sku: undefined, identity: undefined };
    const write = async (name: string, enabled = true) =>
      await resources.write({
        type,
        name: {
          ...childName(registry, type.type, name),
          id: `${registry.id}/providers/${type.type}/${name}`,
          parentId: registry.id,
        },
        author: { uid: 'owner', name: 'Olivia', kind: 'User' },
        desire: () => ({
          ...desired,
          properties: { storageAccountId: '/siem', logs: [{ categoryGroup: 'allLogs', enabled }] },
        }),
      });
    const outcomes = await Promise.allSettled(['1', '2', '3', '4', '5', '6', '7'].map((name) => write(name)));
    const refused = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason.error] : []));
    assert.deepEqual(refused, ['quotaExceeded', 'quotaExceeded']);
    const made = outcomes.findIndex(({ status }) => status === 'fulfilled') + 1;
    await write(String(made), false);
  });
});
