import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Kysely, Migrator } from 'kysely';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { migrations } from '../platform/database/migrate.ts';
import type { Schema } from '../platform/database/schema.ts';
import { SqliteConnection } from '../platform/database/sqlite-connection.ts';
import { openSqlite } from '../platform/database/sqlite-database.ts';
import { SqliteDialect } from '../platform/database/sqlite-dialect.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { systemIds as ids } from '../platform/system-ids.ts';
import { withMigrated, withSnapshotFolder } from './migrated-snapshot.ts';
import { openSqliteSink } from './sqlite-rows.ts';

/** A database of a program that did not know the last migrations yet. */
async function olderDatabase(file: string, missing: number): Promise<void> {
  const known = Object.fromEntries(Object.entries(migrations('sqlite')).slice(0, -missing));
  const connection = new SqliteConnection({ file, isReadOnly: false, busyTimeoutMs: 1_000, cacheKibibytes: 1_000 });
  const db = new Kysely<Schema>({ dialect: new SqliteDialect(connection) });
  const { error } = await new Migrator({ db, provider: { getMigrations: async () => known } }).migrateToLatest();
  assert.equal(error, undefined);
  connection.close();
  using database = new DatabaseSync(file);
  database.exec(`insert into tenants (uid, tenant_id, access_epoch, created_at) values ('t', 'of the snapshot', 1, 1)`);
  database.exec('pragma journal_mode = delete');
}

for (const missing of [1, 2]) {
  test(`a snapshot of a program that is ${missing} migrations older is restored, and stays as it is`, async () => {
    using folder = temporaryFolder('older');
    const [file, target] = [join(folder.path, 'older.sqlite'), join(folder.path, 'target.sqlite')];
    await olderDatabase(file, missing);
    const before = readFileSync(file);
    await (await openSqlite({ file: target, clock, ids })).close();
    const sink = openSqliteSink(target);
    await withMigrated(file, sink, { clock, ids }, async (rows) => {
      const counts = await sink.replaceAll(rows, async () => {});
      assert.equal(counts.get('tenants'), 1);
    });
    await sink.close();
    using restored = new DatabaseSync(target);
    const found = restored.prepare('select tenant_id from tenants').all();
    assert.deepEqual(
      found.map((row) => row.tenant_id),
      ['of the snapshot'],
    );
    assert.ok(readFileSync(file).equals(before));
  });
}

test('a snapshot of a newer program is refused', async () => {
  using folder = temporaryFolder('newer');
  const file = join(folder.path, 'newer.sqlite');
  await (await openSqlite({ file, clock, ids })).close();
  const sink = openSqliteSink(file);
  const { migrations: known } = sink;
  await sink.close();
  const database = new DatabaseSync(file);
  database.exec(`insert into kysely_migration values ('999-changes-much', '2030-01-01')`);
  database.close();
  await assert.rejects(
    withMigrated(file, { migrations: known }, { clock, ids }, async () => {}),
    /written by a newer version/,
  );
});

test('what a command that was killed left of a snapshot is removed by the next, and nothing that somebody is at work in', async () => {
  using parent = temporaryFolder('left');
  const dayAgo = clock.nowMicros() / 1_000_000 - 86_401;
  const made = (name: string, isOld: boolean) => {
    const path = join(parent.path, name);
    mkdirSync(path);
    writeFileSync(join(path, 'snapshot.sqlite'), 'a whole database');
    if (isOld) utimesSync(path, dayAgo, dayAgo);
  };
  made('berth-backup-old', true);
  made('berth-restore-old', true);
  made('berth-backup-new', false);
  made('other-old', true);
  const seen = await withSnapshotFolder('backup', clock, async () => readdirSync(parent.path), parent.path);
  assert.equal(seen.filter((name) => !name.endsWith('-old')).length, 2);
  assert.equal(seen.length, 3);
  assert.deepEqual(readdirSync(parent.path).sort(), ['berth-backup-new', 'other-old']);
});
