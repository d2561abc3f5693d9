import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { BerthError } from '../../core/errors.ts';
import type { Database, Transaction } from './database.ts';
import { lockedForKeyShare, lockedForShare, lockedForUpdate, lockedForUpdateSkipLocked } from './locks.ts';

const tenant = (uid: string, access_epoch = 1) => ({ uid, tenant_id: uid, access_epoch, created_at: 1 });

async function addTenant(tx: Transaction, uid: string): Promise<void> {
  await tx.insertInto('tenants').values(tenant(uid)).execute();
}

async function tenantUids(database: Database): Promise<string[]> {
  const rows = await database.read.selectFrom('tenants').select('uid').orderBy('uid').execute();
  return rows.map((row) => row.uid);
}

async function addManifest(tx: Transaction, digest: string): Promise<void> {
  await addTenant(tx, 'tenant');
  const registry = { uid: 'registry', tenant_uid: 'tenant', name: 'Local', name_key: 'local', sku: 'Premium' as const };
  await tx
    .insertInto('registries')
    .values({ ...registry, is_admin_enabled: 1, is_anonymous_pull_enabled: 0, created_at: 1 })
    .execute();
  await tx
    .insertInto('repositories')
    .values({ uid: 'repository', registry_uid: 'registry', name: 'a', created_at: 1, changed_at: 1 })
    .execute();
  await tx
    .insertInto('manifests')
    .values({
      repository_uid: 'repository',
      digest,
      media_type: 'm',
      artifact_type: null,
      size: 3,
      subject_digest: null,
      annotations: null,
      created_at: 1,
      changed_at: 2 ** 53 - 1,
      body: new Uint8Array([0, 1, 255]),
    })
    .execute();
}

forEachDatabase((kind, open) => {
  test('a committed transaction is read afterwards', async () => {
    const database = await open();
    await database.transaction((tx) => addTenant(tx, 'a'));
    assert.deepEqual(await database.read.selectFrom('tenants').selectAll().execute(), [tenant('a')]);
  });

  test('a throw rolls back its own transaction and nobody else’s', async () => {
    const database = await open();
    const failure = new Error('changed my mind');
    const results = await Promise.allSettled([
      database.transaction((tx) => addTenant(tx, 'a')),
      database.transaction(async (tx) => {
        await addTenant(tx, 'b');
        throw failure;
      }),
      database.transaction((tx) => addTenant(tx, 'c')),
    ]);
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.equal(results[1]?.status === 'rejected' && results[1].reason, failure);
    assert.deepEqual(await tenantUids(database), ['a', 'c']);
  });

  test('transactions that each read and raise a locked row lose no update', async () => {
    const database = await open();
    await database.transaction((tx) => addTenant(tx, 'a'));
    const raise = () =>
      database.transaction(async (tx) => {
        const query = tx.selectFrom('tenants').select('access_epoch').where('uid', '=', 'a');
        const { access_epoch } = await lockedForUpdate(database.kind, query).executeTakeFirstOrThrow();
        await tx
          .updateTable('tenants')
          .set({ access_epoch: access_epoch + 1 })
          .where('uid', '=', 'a')
          .execute();
      });
    await Promise.all(Array.from({ length: 40 }, raise));
    assert.deepEqual(await database.read.selectFrom('tenants').selectAll().execute(), [tenant('a', 41)]);
  });

  test('every kind of row lock is accepted', async () => {
    const database = await open();
    await database.transaction(async (tx) => {
      await addTenant(tx, 'a');
      const query = tx.selectFrom('tenants').select('uid');
      for (const locked of [lockedForUpdate, lockedForUpdateSkipLocked, lockedForShare, lockedForKeyShare])
        for (const tables of [[], ['tenants' as const]])
          assert.deepEqual(await locked(database.kind, query, ...tables).execute(), [{ uid: 'a' }]);
    });
  });

  test('numbers, bytes and nulls come back as they were written; sums are numbers', async () => {
    const database = await open();
    await database.transaction((tx) => addManifest(tx, 'd'));
    const row = await database.read
      .selectFrom('manifests')
      .select(['changed_at', 'body', 'subject_digest'])
      .executeTakeFirstOrThrow();
    assert.deepEqual(
      { ...row, body: [...row.body] },
      { changed_at: 2 ** 53 - 1, body: [0, 1, 255], subject_digest: null },
    );
    const totals = await database.read
      .selectFrom('manifests')
      .select((at) => [at.fn.sum('size').as('bytes'), at.fn.countAll().as('count')])
      .executeTakeFirstOrThrow();
    assert.deepEqual(totals, { bytes: 3, count: 1 });
  });

  test('a number beyond 2^53 is refused when read, not rounded', async () => {
    const database = await open();
    await assert.rejects(database.read.selectNoFrom(sql<number>`9007199254740993`.as('large')).execute(), RangeError);
  });

  test('texts compare by bytes', async () => {
    const database = await open();
    await database.transaction(async (tx) => {
      for (const uid of ['b', 'ä', 'B', '_', 'a-b', 'a.b', 'ab']) await addTenant(tx, uid);
    });
    assert.deepEqual(await tenantUids(database), ['B', '_', 'a-b', 'a.b', 'ab', 'b', 'ä']);
  });

  test('a tag cannot point at a manifest that is not there, nor lose the one it has', async () => {
    const database = await open();
    const tag = {
      repository_uid: 'repository',
      name: 'v1',
      hybrid_time: 1,
      region: 'home',
      created_at: 1,
      changed_at: 1,
    };
    await database.transaction((tx) => addManifest(tx, 'd'));
    await assert.rejects(
      database.transaction((tx) =>
        tx
          .insertInto('tags')
          .values({ ...tag, digest: 'missing' })
          .execute(),
      ),
      /foreign key/i,
    );
    await database.transaction((tx) =>
      tx
        .insertInto('tags')
        .values({ ...tag, digest: 'd' })
        .execute(),
    );
    await assert.rejects(
      database.transaction((tx) => tx.deleteFrom('manifests').execute()),
      /foreign key/i,
    );
  });

  test('a query after the end of its transaction is refused', async () => {
    const database = await open();
    const escaped = await database.transaction(async (tx) => ({ tx }));
    await assert.rejects(escaped.tx.selectFrom('tenants').selectAll().execute());
  });

  test('two handles of one database see each other’s commits at once', async () => {
    const database = await open();
    const other = await open({ again: database });
    for (const uid of ['a', 'b', 'c']) {
      await database.transaction((tx) => addTenant(tx, uid));
      assert.equal((await tenantUids(other)).at(-1), uid);
    }
  });

  test('many transactions of two handles all commit', async () => {
    const database = await open();
    const other = await open({ again: database });
    const uids = Array.from({ length: 200 }, (_, index) => `t${String(index).padStart(3, '0')}`);
    await Promise.all(
      uids.map((uid, index) => (index % 2 === 0 ? database : other).transaction((tx) => addTenant(tx, uid))),
    );
    assert.deepEqual(await tenantUids(database), uids);
  });

  test('a database that another one holds for longer than 5 seconds is busy, without blocking this process', async () => {
    const database = await open();
    const other = await open({ again: database });
    await database.transaction((tx) => addTenant(tx, 'a'));
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const holder = other.transaction(async (tx) => {
      await tx.updateTable('tenants').set({ access_epoch: 2 }).where('uid', '=', 'a').execute();
      await released;
    });
    await sleep(50);
    let longestPauseMs = 0;
    let last = performance.now();
    const pulse = setInterval(() => {
      longestPauseMs = Math.max(longestPauseMs, performance.now() - last);
      last = performance.now();
    }, 10);
    const begin = performance.now();
    const waits = database.transaction((tx) => tx.updateTable('tenants').set({ access_epoch: 3 }).execute());
    await assert.rejects(
      waits,
      (error) => error instanceof BerthError && error.error === 'busy' && error.retryAfterSeconds === 1,
    );
    const waitedMs = performance.now() - begin;
    clearInterval(pulse);
    release();
    await holder;
    assert.ok(waitedMs > 4_500 && waitedMs < 7_000, `waited ${waitedMs} ms`);
    assert.ok(longestPauseMs < 1_000, `the event loop stood still for ${longestPauseMs} ms`);
    await database.transaction((tx) => tx.updateTable('tenants').set({ access_epoch: 4 }).execute());
  });

  test('a schema of a newer program is refused with a text that says so', async () => {
    const database = await open();
    const name = sql.lit('999-of-tomorrow');
    await database.transaction(async (tx) => {
      await sql`insert into kysely_migration (name, timestamp) values (${name}, '2031')`.execute(tx);
    });
    await assert.rejects(open({ again: database }), /newer version of Berth.*999-of-tomorrow/);
  });

  test('tells who waits for it, and what of its connections is in use', async () => {
    const database = await open();
    const poolOf = (inUse: number, idle: number) => (kind === 'sqlite' ? undefined : { inUse, idle, size: 10 });
    const atOnce = kind === 'sqlite' ? 1 : 10;
    const [begun, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let begins = 0;
    const held = Array.from({ length: atOnce + 2 }, () =>
      database.transaction(async (tx) => {
        await tx.selectFrom('tenants').select('uid').execute();
        begins += 1;
        if (begins === atOnce) begun.resolve();
        await released.promise;
      }),
    );
    await begun.promise;
    assert.deepEqual(database.use(), { waiting: 2, pool: poolOf(10, 0) });
    released.resolve();
    await Promise.all(held);
    assert.deepEqual(database.use(), { waiting: 0, pool: poolOf(0, 10) });
  });

  test('after close a transaction is refused', async () => {
    const database = await open();
    await database.transaction((tx) => addTenant(tx, 'a'));
    await database.close();
    await assert.rejects(database.transaction((tx) => addTenant(tx, 'b')));
  });
});
