import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentBench } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { clearRegistry } from './registry-removal.ts';

const items = 450;

forEachDatabase((_, open) => {
  test('what runs of lifecycle rules did goes in slices, of this registry alone', async () => {
    const bench = await contentBench(open);
    try {
      for (const registryUid of [bench.registryUid, bench.otherUid])
        await bench.database.transaction(async (tx) => {
          const run = { uid: `run of ${registryUid}`, registry_uid: registryUid, asked_at: 1, ended_at: 2 };
          await tx
            .insertInto('lifecycle_runs')
            .values({ ...run, tags: 0, manifests: 0, freed_bytes: 0, problem: null })
            .execute();
          const rows = Array.from({ length: items }, (_, seq) => ({ run_uid: run.uid, seq, item: '{}' }));
          await tx.insertInto('lifecycle_items').values(rows).execute();
        });
      let slices = 0;
      const renew = async () => {
        slices += 1;
      };
      await clearRegistry(bench.here, { uid: bench.registryUid }, { signal: new AbortController().signal, renew });
      const left = await bench.database.read
        .selectFrom('lifecycle_items')
        .groupBy('run_uid')
        .select((select) => ['run_uid', select.fn.countAll<number>().as('count')])
        .execute();
      assert.deepEqual(left, [{ run_uid: `run of ${bench.otherUid}`, count: items }]);
      assert.equal(slices, 3);
    } finally {
      bench.folder.remove();
    }
  });
});
