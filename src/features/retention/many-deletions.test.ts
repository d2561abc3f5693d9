import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { Deletions } from '../content/deletions.ts';
import { collectGarbage } from './garbage-collection.ts';
import { purge } from './purges.ts';

const isLong = process.env.BERTH_TEST_LONG === '1';
const count = isLong ? 100_000 : 1_000;
const dayMs = 86_400_000;
const blobBytes = 10;
const rowsAtOnce = 500;
const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

forEachDatabase((kind, open) => {
  test(`${count} manifests are deleted, and their bytes are free within three minutes after the grace`, async (t) => {
    const clock = new HeldClock(Date.now() * 1000);
    const bench = await contentBench(open, { clock });
    try {
      await fill(bench, clock.nowMicros());
      clock.advance(10 * dayMs);
      const delay = monitorEventLoopDelay({ resolution: 10 });
      delay.enable();
      const begin = performance.now();
      // How long a transaction goes on is a matter of real time.
      const { nowMicros, sleep } = clock;
      const { monotonicMs } = systemClock;
      const deletions = new Deletions({ ...bench.here, clock: { nowMicros, sleep, monotonicMs }, region: testRegion });
      const items = purge({ ...bench.here, deletions }, fullAuthority(), {
        registryUid: bench.registryUid,
        filters: [],
        ageMs: dayMs,
        keep: 0,
        untagged: 'only',
        includesLocked: false,
        isDryRun: false,
        signal: new AbortController().signal,
      });
      let deleted = 0;
      for await (const { outcome } of items) if (outcome === 'deleted') deleted += 1;
      assert.equal(deleted, count);
      const deletedMs = performance.now() - begin;
      clock.advance(2 * dayMs);
      const collected = performance.now();
      const freed = await collectGarbage(bench.here, { signal: new AbortController().signal, renew: async () => {} });
      const freedMs = performance.now() - collected;
      assert.deepEqual(freed, { blobs: count, bytes: count * blobBytes });
      const p99Ms = delay.percentile(99) / 1e6;
      t.diagnostic(
        `${kind}: deleted in ${Math.round(deletedMs)} ms, freed in ${Math.round(freedMs)} ms, event loop p99 ${Math.round(p99Ms)} ms`,
      );
      assert(freedMs < 180_000, `freed after ${freedMs} ms`);
    } finally {
      bench.folder.remove();
    }
  });
});

/** Rows of manifests with a blob of their own each; pushing them would take most of the time. */
async function fill(bench: ContentBench, nowMicros: number): Promise<void> {
  const { registryUid, database } = bench;
  const repositoryUid = 'many';
  await database.transaction(async (tx) => {
    const repository = { uid: repositoryUid, registry_uid: registryUid, name: 'many' };
    await tx
      .insertInto('repositories')
      .values({ ...repository, created_at: nowMicros, changed_at: nowMicros })
      .execute();
    await tx
      .insertInto('registry_usage')
      .values({ registry_uid: registryUid, bytes: count * 100 })
      .execute();
  });
  for (let start = 0; start < count; start += rowsAtOnce) {
    const some = Array.from({ length: rowsAtOnce }, (_, index) => {
      const body = Buffer.from(JSON.stringify({ manifest: start + index }));
      return { body, digest: sha256(body.toString()), blob: sha256(`blob ${start + index}`) };
    });
    await database.transaction(async (tx) => {
      const common = { repository_uid: repositoryUid, created_at: nowMicros };
      const manifest = { ...common, changed_at: nowMicros, media_type: 'application/vnd.oci.image.manifest.v1+json' };
      const nothing = { artifact_type: null, subject_digest: null, annotations: null };
      await tx
        .insertInto('manifests')
        .values(some.map(({ body, digest }) => ({ ...manifest, ...nothing, digest, size: body.length, body })))
        .execute();
      await tx
        .insertInto('manifest_references')
        .values(
          some.map(({ digest, blob }) => ({
            repository_uid: repositoryUid,
            manifest_digest: digest,
            digest: blob,
            kind: 'blob',
          })),
        )
        .execute();
      await tx
        .insertInto('blobs')
        .values(
          some.map(({ blob }) => ({
            registry_uid: registryUid,
            digest: blob,
            storage_key: blob.slice(7, 39),
            size: blobBytes,
            stored_size: blobBytes,
            format: 'plain',
            scope: '',
            state: 'ready',
            created_at: nowMicros,
            grace_until: nowMicros,
            checksums: Buffer.alloc(4),
          })),
        )
        .execute();
      await tx
        .insertInto('blob_links')
        .values(some.map(({ blob }) => ({ ...common, digest: blob })))
        .execute();
      await tx
        .insertInto('referenced_blobs')
        .values(some.map(({ blob }) => ({ registry_uid: registryUid, digest: blob, size: blobBytes })))
        .execute();
    });
  }
}
