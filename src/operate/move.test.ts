import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { contentBench } from '../../test/support/content-process.ts';
import { forEachDatabase } from '../../test/support/databases.ts';
import { sampleBlob } from '../../test/support/oci-samples.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import { createFolderStore } from '../platform/blob-store/folder-store.ts';
import { openSqlite } from '../platform/database/sqlite-database.ts';
import { createFailpoints } from '../platform/failpoints.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { systemIds as ids } from '../platform/system-ids.ts';
import { move } from './move.ts';
import { openPostgresSource } from './postgres-rows.ts';
import type { RowSource } from './rows.ts';
import { openSqliteSink, openSqliteSource } from './sqlite-rows.ts';

const folder = temporaryFolder('move');
after(() => folder.remove());

forEachDatabase((name, open, placeOf) => {
  test('blobs are copied while nothing of the source is held; what was pushed meanwhile comes too', async () => {
    const place = join(folder.path, name);
    const bench = await contentBench(open);
    await bench.push(bench.place('app'), sampleBlob('first'));
    let held = 0;
    const openSource = async (): Promise<RowSource> => {
      const { location } = placeOf(bench.database);
      const source = name === 'sqlite' ? openSqliteSource(location) : await openPostgresSource(location);
      held += 1;
      return {
        ...source,
        close: async () => {
          held -= 1;
          await source.close();
        },
      };
    };
    const heldWhileCopied: number[] = [];
    const from: BlobStore = {
      ...bench.here.store,
      read: async function* (key, range, options) {
        heldWhileCopied.push(held);
        if (heldWhileCopied.length === 1) await bench.push(bench.place('app'), sampleBlob('second'));
        yield* bench.here.store.read(key, range, options);
      },
    };
    const file = join(place, 'target.sqlite');
    const to = createFolderStore({ folder: join(place, 'target'), ids, failpoint: createFailpoints(undefined, clock) });
    await to.check();
    await (await openSqlite({ file, clock, ids })).close();
    const sink = openSqliteSink(file);
    const openTarget = async () => openSqliteSource(file);
    const heldMeanwhile: number[] = [];
    const takeAlong = async () => void heldMeanwhile.push(held);
    const account = await move({ openSource, openTarget, sink, from, to, takeAlong, progress: () => {} });
    await sink.close();
    assert.equal(account.rowsByTable.get('blobs'), 2);
    assert.deepEqual(
      { ...account.blobs, copiedBytes: 0 },
      { named: 2, copied: 2, copiedBytes: 0, present: 0, missing: [], damaged: [] },
    );
    assert.deepEqual([heldWhileCopied[0], held], [0, 0]);
    assert.deepEqual(heldMeanwhile, [0]);
  });
});
