import assert from 'node:assert/strict';
import { copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { sql } from 'kysely';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { BerthError } from '../../core/errors.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import type { Database, Transaction } from './database.ts';
import { openSqlite, type SqliteOptions } from './sqlite-database.ts';

const folder = temporaryFolder('sqlite');
after(() => folder.remove());
let made = 0;

async function openFresh(
  options: Partial<SqliteOptions> = {},
): Promise<{ readonly database: Database; readonly file: string }> {
  made += 1;
  const file = join(folder.path, `${made}.sqlite`);
  return { file, database: await openSqlite({ file, clock: systemClock, ids: systemIds, ...options }) };
}

async function addTenant(tx: Transaction, uid: string): Promise<void> {
  await tx.insertInto('tenants').values({ uid, tenant_id: uid, access_epoch: 1, created_at: 1 }).execute();
}

const pragmas = sql<{ synchronous: number; mode: string }>`
  select synchronous, journal_mode as mode from pragma_synchronous, pragma_journal_mode`;

test('the reading connection refuses to write; the file is for this user alone', async () => {
  const { database, file } = await openFresh();
  assert.deepEqual((await pragmas.execute(database.read)).rows, [{ synchronous: 2, mode: 'wal' }]);
  await assert.rejects(
    database.read.deleteFrom('tenants').execute(),
    (error) => error instanceof BerthError && error.error === 'storageReadOnly',
  );
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await database.close();
});

test('SQLite itself syncs each commit of a file that other processes read', async () => {
  const { database } = await openFresh({ isShared: true });
  const rows = await database.transaction(async (tx) => (await pragmas.execute(tx)).rows);
  assert.deepEqual(rows, [{ synchronous: 2, mode: 'wal' }]);
  await database.close();
});

for (const options of [{}, { isFirst: true }, { isShared: true }]) {
  test(`a reader sees a commit no earlier than its writer hears of it: ${JSON.stringify(options)}`, async () => {
    const { database } = await openFresh(options);
    const known = async () => (await database.read.selectFrom('tenants').select('uid').execute()).length;
    for (let told = 0; told < 30; told += 1) {
      const state = { isTold: false };
      const writing = database
        .transaction((tx) => addTenant(tx, String(told)))
        .then(() => {
          state.isTold = true;
        });
      while (!state.isTold) {
        const seen = await known();
        assert.equal(seen, state.isTold ? told + 1 : told);
        await nextTurn();
      }
      await writing;
      assert.equal(await known(), told + 1);
    }
    await database.close();
  });
}

test('a transaction that may be lost shares the commit of one that may not', async () => {
  const { database } = await openFresh();
  await Promise.all([
    database.transaction((tx) => addTenant(tx, 'a'), { mayBeLost: true }),
    database.transaction((tx) => addTenant(tx, 'b')),
  ]);
  await database.transaction((tx) => addTenant(tx, 'c'), { mayBeLost: true });
  assert.equal((await database.read.selectFrom('tenants').select('uid').execute()).length, 3);
  await database.close();
});

test('what a process left in the WAL is there for the next, which makes room for its own', async () => {
  const { database, file } = await openFresh();
  await database.transaction((tx) => addTenant(tx, 'a'));
  for (const end of ['', '-wal']) copyFileSync(`${file}${end}`, `${file}.copy${end}`);
  await database.close();
  const next = await openSqlite({ file: `${file}.copy`, clock: systemClock, ids: systemIds, isFirst: true });
  assert.equal(statSync(`${file}.copy-wal`).size, 20 * 1024 * 1024);
  await next.transaction((tx) => addTenant(tx, 'b'));
  // The zeros behind its end are no part of it: here is what a killed process leaves.
  for (const end of ['', '-wal']) copyFileSync(`${file}.copy${end}`, `${file}.second${end}`);
  await next.close();
  const last = await openSqlite({ file: `${file}.second`, clock: systemClock, ids: systemIds });
  const rows = await last.read.selectFrom('tenants').select('uid').orderBy('uid').execute();
  assert.deepEqual(
    rows.map((row) => row.uid),
    ['a', 'b'],
  );
  await last.close();
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
