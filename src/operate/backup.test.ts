import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { folderMark } from '../platform/blob-store/folder-mark.ts';
import { folderNotes } from '../platform/blob-store/folder-notes.ts';
import { createFolderStore } from '../platform/blob-store/folder-store.ts';
import type { StoreNotes } from '../platform/blob-store/store-notes.ts';
import { openSqlite } from '../platform/database/sqlite-database.ts';
import { createFailpoints } from '../platform/failpoints.ts';
import { HeldClock } from '../platform/held-clock.ts';
import { systemIds as ids } from '../platform/system-ids.ts';
import { type BackupAccount, backup } from './backup.ts';
import { type BackupPlace, BackupUnderWay } from './backup-place.ts';
import { folderBackups } from './folder-backups.ts';
import { openSqliteSource } from './sqlite-rows.ts';
import { storeBackups } from './store-backups.ts';

const longMs = 601_000;

describe('backups that share a store', () => {
  const folder = temporaryFolder('backup');
  after(() => folder.remove());
  let at: string;
  let clock: HeldClock;
  let count = 0;
  const file = () => join(at, 'berth.sqlite');
  const storeAt = (name: string) =>
    createFolderStore({ folder: join(at, name), ids, failpoint: createFailpoints(undefined, clock) });

  beforeEach(async () => {
    count += 1;
    at = join(folder.path, String(count));
    clock = new HeldClock();
    await storeAt('blobs').check();
    await (await openSqlite({ file: file(), clock, ids })).close();
  });
  afterEach(() => clock.advance(longMs));

  const change = (work: (database: DatabaseSync) => void) => {
    using database = new DatabaseSync(file(), { enableForeignKeyConstraints: false });
    work(database);
  };
  /** The blob that the database names is another one from now on. */
  const replaceBlob = async (text: string): Promise<string> => {
    const store = storeAt('blobs');
    const handle = await store.begin();
    const part = await store.part(handle, { number: 1, offset: 0 }, asStream(text));
    const key = await store.complete(handle, [part.token]);
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    change((database) => {
      database.exec('delete from blobs');
      database
        .prepare(
          `insert into blobs (registry_uid, digest, storage_key, size, stored_size, format, scope, state, created_at, grace_until, checksums)
           values ('r', ?, ?, ?, ?, 'plain', '', 'ready', 1, 1, x'')`,
        )
        .run(digest, key, text.length, text.length);
    });
    return key;
  };
  const partsOf = (notes?: StoreNotes) => ({
    store: storeAt('shared'),
    mark: folderMark(join(at, 'shared')),
    notes: notes ?? folderNotes(join(at, 'shared'), clock),
    clock,
    ids,
  });
  const inStore = (notes?: StoreNotes) => storeBackups(partsOf(notes));
  const inFolder = (isShared = true) => folderBackups(join(at, 'snapshots'), { ...partsOf(), isShared });
  const run = (place: BackupPlace, keep?: number): Promise<BackupAccount> =>
    backup({
      place,
      keep,
      openRows: async () => openSqliteSource(file()),
      store: storeAt('blobs'),
      clock,
      ids,
      progress: () => {},
    });
  const isThere = async (key: string) => {
    for await (const entry of storeAt('shared').list('')) if (entry.key === key) return true;
    return false;
  };

  test('a store whose blobs snapshots in a folder need is not cleaned, also when nothing in it says so', async () => {
    const key = await replaceBlob('old');
    await run(inFolder());
    await replaceBlob('new');
    clock.advance(1_000);
    await assert.rejects(run(inStore(), 1), /snapshots in \S+snapshots need them too.+shared-by\./);
    await run(inStore());
    clock.advance(1_000);
    await assert.rejects(run(inFolder(false), 1), /need them too/);
    const notes = folderNotes(join(at, 'shared'), clock);
    for await (const { name } of notes.list('')) await notes.removeMany([name]);
    for (const keep of [undefined, 1]) {
      clock.advance(1_000);
      const again = run(inStore(), keep);
      if (keep === undefined) await again;
      else await assert.rejects(again, /a folder that is not known/);
    }
    assert.ok(await isThere(key));
    await notes.removeMany(['shared-by.unknown']);
    assert.equal((await run(inStore(), 1)).pruned?.blobs, 3);
    assert.ok(!(await isThere(key)));
  });

  test('two backups at once into one store are refused, wherever their snapshots are', async () => {
    await using _lock = await inStore().lock();
    await assert.rejects(run(inFolder()), BackupUnderWay);
    await run(inFolder(false));
  });

  for (const moment of ['before', 'after'] as const) {
    test(`a backup whose lock was lost ${moment} its snapshot was noted fails, and leaves no snapshot`, async () => {
      await replaceBlob('first');
      const notes = folderNotes(join(at, 'shared'), clock);
      const slow: StoreNotes = {
        ...notes,
        put: async (name, bytes) => {
          if (name.startsWith('snapshot.') && moment === 'after') await takeOver();
          await notes.put(name, bytes);
        },
      };
      let taken: BackupAccount | undefined;
      const takeOver = async () => {
        clock.advance(longMs);
        await replaceBlob('second');
        taken = await run(inStore(), 1);
      };
      const place = inStore(slow);
      const stalled: BackupPlace = {
        ...place,
        add: (snapshot) =>
          place.add({
            ...snapshot,
            use: async (name) => {
              const result = await snapshot.use(name);
              if (moment === 'before') await takeOver();
              return result;
            },
          }),
      };
      await assert.rejects(run(stalled), /stood still for too long/);
      assert.deepEqual(await place.snapshots(), [taken?.snapshot]);
    });
  }

  test('a lock that was lost stays lost, and one that is renewed keeps others away', async () => {
    await using first = await inStore().lock();
    for (let minute = 0; minute < 30; minute += 1) {
      clock.advance(60_000);
      await first.confirm();
    }
    await assert.rejects(inStore().lock(), BackupUnderWay);
    clock.advance(longMs);
    const second = await inStore().lock();
    await second[Symbol.asyncDispose]();
    await assert.rejects(first.confirm(), /stood still/);
    await (await inStore().lock())[Symbol.asyncDispose]();
  });

  for (const kind of ['store', 'folder'] as const) {
    test(`${kind}: nothing is removed while a restore reads`, async () => {
      const place = () => (kind === 'store' ? inStore() : inFolder(false));
      const key = await replaceBlob('old');
      const { snapshot } = await run(place());
      await replaceBlob('new');
      clock.advance(1_000);
      const reader = await place().read();
      await assert.rejects(run(place(), 1), /a restore is at work here/);
      assert.ok((await place().snapshots()).includes(snapshot));
      assert.ok(await isThere(key));
      await reader[Symbol.asyncDispose]();
      clock.advance(1_000);
      assert.equal((await run(place(), 1)).pruned?.snapshots.length, 2);
      assert.ok(!(await isThere(key)));
    });
  }
});

async function* asStream(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
