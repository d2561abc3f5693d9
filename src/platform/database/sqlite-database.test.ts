import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sql } from 'kysely';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { BerthError } from '../../core/errors.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import type { Database, Transaction } from './database.ts';
import { openSqlite } from './sqlite-database.ts';

const folder = temporaryFolder('sqlite');
after(() => folder.remove());
let made = 0;

async function openFresh(): Promise<{ readonly database: Database; readonly file: string }> {
  made += 1;
  const file = join(folder.path, `${made}.sqlite`);
  return { file, database: await openSqlite({ file, clock: systemClock, ids: systemIds }) };
}

async function addTenant(tx: Transaction, uid: string): Promise<void> {
  await tx.insertInto('tenants').values({ uid, tenant_id: uid, access_epoch: 1, created_at: 1 }).execute();
}

test('both connections sync every commit; the reading one refuses to write', async () => {
  const { database, file } = await openFresh();
  const pragmas = sql<{ synchronous: number; mode: string }>`
    select synchronous, journal_mode as mode from pragma_synchronous, pragma_journal_mode`;
  assert.deepEqual((await pragmas.execute(database.read)).rows, [{ synchronous: 2, mode: 'wal' }]);
  const rows = await database.transaction(async (tx) => (await pragmas.execute(tx)).rows);
  assert.deepEqual(rows, [{ synchronous: 2, mode: 'wal' }]);
  await assert.rejects(
    database.read.deleteFrom('tenants').execute(),
    (error) => error instanceof BerthError && error.error === 'storageReadOnly',
  );
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await database.close();
});

test('a transaction that may be lost waits for no disk; one that may not never joins its commit', async () => {
  const { database } = await openFresh();
  const level = async (tx: Transaction) => {
    const { rows } = await sql<{ synchronous: number }>`select synchronous from pragma_synchronous`.execute(tx);
    return rows[0]?.synchronous;
  };
  const losable = () => database.transaction(level, { mayBeLost: true });
  const lasting = () => database.transaction(level);
  assert.deepEqual(await Promise.all([losable(), losable()]), [1, 1]);
  assert.deepEqual(await Promise.all([losable(), lasting(), losable()]), [2, 2, 2]);
  const joined: Promise<number | undefined>[] = [];
  const first = database.transaction(
    async (tx) => {
      joined.push(lasting());
      return await level(tx);
    },
    { mayBeLost: true },
  );
  assert.equal(await first, 1);
  assert.deepEqual(await Promise.all(joined), [2]);
  await database.close();
});

test('transactions that wait together share one commit, and nobody hears of it earlier', async () => {
  const { database } = await openFresh();
  let committedBefore = -1;
  let hasFirstResolved = false;
  const first = database
    .transaction((tx) => addTenant(tx, 'a'))
    .then(() => {
      hasFirstResolved = true;
    });
  const second = database.transaction(async (tx) => {
    await addTenant(tx, 'b');
    committedBefore = (await database.read.selectFrom('tenants').select('uid').execute()).length;
    assert.equal(hasFirstResolved, false);
  });
  await Promise.all([first, second]);
  assert.equal(committedBefore, 0);
  assert.equal((await database.read.selectFrom('tenants').select('uid').execute()).length, 2);
  await database.close();
});

test('a full disk fails the whole group as storageFull, changes nothing, and the next transaction works', async () => {
  const { database } = await openFresh();
  const limitPages = (tx: Transaction, pages: number) => sql`pragma max_page_count = ${sql.lit(pages)}`.execute(tx);
  await database.transaction(async (tx) => {
    const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(tx);
    await limitPages(tx, (rows[0]?.page_count ?? 0) + 4);
  });
  const results = await Promise.allSettled([
    database.transaction((tx) => addTenant(tx, 'small')),
    database.transaction((tx) => addTenant(tx, 'x'.repeat(1_000_000))),
  ]);
  for (const result of results) {
    assert.equal(result.status, 'rejected');
    assert.ok(result.status === 'rejected' && result.reason instanceof BerthError, String(result));
    assert.equal(result.reason.error, 'storageFull');
  }
  assert.deepEqual(await database.read.selectFrom('tenants').selectAll().execute(), []);
  await database.transaction(async (tx) => {
    await limitPages(tx, 1_000_000);
    await addTenant(tx, 'small');
  });
  assert.equal((await database.read.selectFrom('tenants').selectAll().execute()).length, 1);
  await database.close();
});

test('the WAL does not grow without bound', async () => {
  const { database, file } = await openFresh();
  const text = 'x'.repeat(100_000);
  for (let index = 0; index < 600; index++)
    await database.transaction((tx) =>
      tx
        .insertInto('tenants')
        .values({ uid: 'a', tenant_id: text, access_epoch: index, created_at: 1 })
        .onConflict((conflict) =>
          conflict.column('uid').doUpdateSet({ access_epoch: index, tenant_id: `${index}${text}` }),
        )
        .execute(),
    );
  assert.ok(statSync(`${file}-wal`).size < 40_000_000, `${statSync(`${file}-wal`).size} bytes`);
  await database.close();
});
