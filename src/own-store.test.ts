import assert from 'node:assert/strict';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBerth } from '../test/support/berth-server.ts';
import { asAdmin, platformImage, pushSample } from '../test/support/push-sample.ts';

test('a server does not start where its blobs should be mounted and are not, unless they are known to be lost', async () => {
  await using server = await startBerth();
  const sample = platformImage('kept');
  await pushSample(server, 'kept', sample, 'v1');
  await server.stop();
  const store = join(server.dataFolder, 'blob-store');
  const mark = join(store, 'installation');
  renameSync(store, `${store}.away`);
  const refusal = /the blob store is empty.*--blobs.*mounted\?.*--blobs-gone/;
  await assert.rejects(startBerth(server.again), refusal);
  assert.ok(!existsSync(mark), 'it is not claimed');
  const blob = `/v2/kept/blobs/${sample.blobs[0]?.digest}`;
  rmSync(store, { recursive: true });
  renameSync(`${store}.away`, store);
  // As of a store that was copied without its mark, or by an older program.
  rmSync(mark);
  {
    await using again = await startBerth(server.again);
    assert.equal((await asAdmin(again, 'GET', blob)).status, 200);
    assert.ok(existsSync(mark));
  }
  rmSync(store, { recursive: true });
  await using without = await startBerth({ ...server.again, settings: { 'blobs-gone': 'on' } });
  assert.notEqual((await asAdmin(without, 'GET', blob)).status, 200);
  assert.ok(existsSync(mark));
  assert.doesNotMatch(without.log(), /meant for one start/);
  await without.stop();
  await using later = await startBerth({ ...server.again, settings: { 'blobs-gone': 'on' } });
  assert.match(later.log(), /meant for one start/);
});

test('an installation without blobs starts with another empty store', async () => {
  await using server = await startBerth();
  await server.stop();
  rmSync(join(server.dataFolder, 'blob-store'), { recursive: true });
  const again = await startBerth(server.again);
  assert.equal(await again.stop(), 0);
});
