import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Transaction } from './database.ts';

const tenant = (uid: string) => ({ uid, tenant_id: uid, access_epoch: 1, created_at: 1 });

async function addTenant(tx: Transaction, uid: string): Promise<void> {
  await tx.insertInto('tenants').values(tenant(uid)).execute();
}

forEachDatabase((_name, open) => {
  test('a committed transaction is read afterwards', async () => {
    const database = await open();
    await database.transaction((tx) => addTenant(tx, 'a'));
    assert.deepEqual(await database.read.selectFrom('tenants').selectAll().execute(), [tenant('a')]);
  });
});
