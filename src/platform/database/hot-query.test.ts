import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { hotQuery, hotStatement } from './hot-query.ts';

const insertTenant = hotStatement(['uid', 'epoch', 'now'], (on, parameter) =>
  on
    .insertInto('tenants')
    .values({
      uid: parameter('uid'),
      tenant_id: parameter('uid'),
      access_epoch: parameter('epoch'),
      created_at: parameter('now'),
    })
    .onConflict((conflict) => conflict.column('uid').doUpdateSet({ access_epoch: parameter('epoch') }))
    .returning(['uid', 'access_epoch']),
);

forEachDatabase((_name, open) => {
  test('a statement compiled once takes other values each time, one of them in several places', async () => {
    const database = await open();
    const insert = (uid: string, epoch: number) =>
      database.transaction(async (tx) => await insertTenant(tx, { uid, epoch, now: 1_700_000_000_000_000 }));
    assert.deepEqual({ ...(await insert('a', 1)) }, { uid: 'a', access_epoch: 1 });
    assert.deepEqual({ ...(await insert('b', 2)) }, { uid: 'b', access_epoch: 2 });
    assert.deepEqual({ ...(await insert('a', 3)) }, { uid: 'a', access_epoch: 3 });
    const rows = await database.read
      .selectFrom('tenants')
      .select(['uid', 'tenant_id', 'created_at'])
      .orderBy('uid')
      .execute();
    assert.deepEqual(
      rows.map((row) => ({ ...row })),
      ['a', 'b'].map((uid) => ({ uid, tenant_id: uid, created_at: 1_700_000_000_000_000 })),
    );
  });

  test('a query compiled once reads inside a transaction what the transaction wrote', async () => {
    const database = await open();
    const epochOf = hotQuery(database.read, ['uid'], (queries, parameter) =>
      queries.selectFrom('tenants').select('access_epoch').where('uid', '=', parameter('uid')),
    );
    await database.transaction(async (tx) => {
      await insertTenant(tx, { uid: 'a', epoch: 7, now: 1 });
      assert.equal((await epochOf(tx, { uid: 'a' }))?.access_epoch, 7);
      assert.equal(await epochOf(database.read, { uid: 'a' }), undefined);
    });
    assert.equal((await epochOf(database.read, { uid: 'a' }))?.access_epoch, 7);
  });
});
