import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  type ContentBench,
  contentBench,
  fullAuthority,
  quietLog,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  descriptorOf,
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { lockBits } from '../content/attributes.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import { cosignTags } from '../content/cosign-tags.ts';
import { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { ownAuthority } from './own-authority.ts';
import { parsePurgeFilter } from './purge-filter.ts';
import { purge } from './purges.ts';
import { Restores } from './restores.ts';
import { deleteUntagged } from './untagged-policy.ts';

const me = fullAuthority();
const dayMs = 86_400_000;
const layer = sampleBlob('layer', 100);

forEachDatabase((kind, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('registries').set({ keeps_deleted: 1, retention_days: 7 }).execute();
    });
  });
  after(() => bench.folder.remove());

  const deletions = () => new Deletions({ ...bench.here, region: testRegion });
  const push = async (at: Place, manifest: SampleManifest, ...tags: string[]) => {
    const common = { body: manifest.bytes, contentType: manifest.mediaType };
    const reference = parseReference(manifest.digest);
    await bench.here.manifests.push(at, me, { ...common, reference, tags: tags.map(parseTag) });
  };
  const restore = async (at: Place, { digest }: SampleManifest, tag?: string, isForced = false) =>
    await new Restores({ ...bench.here, region: testRegion }).restore(at, me, {
      digest,
      tag: tag === undefined ? undefined : parseTag(tag),
      isForced,
    });
  const served = async (at: Place) => {
    const rows = await bench.database.read
      .selectFrom('manifests as m')
      .innerJoin('repositories as r', 'r.uid', 'm.repository_uid')
      .where('r.name', '=', at.repository)
      .select('m.digest')
      .execute();
    return new Set<string>(rows.map(({ digest }) => digest));
  };
  const image = (n: string, more = {}) => sampleImage([layer], { annotations: { n }, ...more });

  test('a restore that is refused brings back no part of an index', async () => {
    const at = bench.place('taken');
    await bench.push(at, layer);
    const [part, other] = [image('part'), image('other')];
    const index = sampleIndex([part]);
    await push(at, part);
    await push(at, index, 'v1');
    await deletions().repository(at, me);
    await push(at, other, 'v1');
    await assert.rejects(restore(at, index, 'v1'), { error: 'tagTaken' });
    assert.deepEqual(await served(at), new Set([other.digest]));
    await restore(at, index, 'v2');
    assert.deepEqual(await served(at), new Set([other.digest, index.digest, part.digest]));
  });

  test('nor does it of an index with more parts than come back at once', async () => {
    const at = bench.place('large');
    const broken = sampleBlob('of the last part', 50);
    for (const blob of [layer, broken]) await bench.push(at, blob);
    const other = image('other');
    const parts = [
      ...Array.from({ length: 201 }, (_, n) => image(`part ${n}`)),
      sampleImage([broken], { annotations: { n: 'last' } }),
    ].toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
    const index = sampleIndex(parts);
    for (const part of parts) await push(at, part);
    await push(at, index, 'v1');
    await deletions().repository(at, me);
    await push(at, other, 'v1');
    const set = async (state: 'damaged' | 'ready', locks: number) => {
      await bench.database.transaction(async (tx) => {
        await tx.updateTable('blobs').set({ state }).where('digest', '=', broken.digest).execute();
        await tx.updateTable('tags').set({ locks }).where('name', '=', 'v1').execute();
      });
    };
    await assert.rejects(restore(at, index, 'v1'), { error: 'tagTaken' });
    await set('ready', lockBits.writeEnabled);
    await assert.rejects(restore(at, index, 'v1', true), { error: 'contentLocked' });
    await set('damaged', 0);
    await assert.rejects(restore(at, index, 'v2'), { error: 'manifestBlobUnknown' });
    assert.deepEqual(await served(at), new Set([other.digest]));
    await set('ready', 0);
    await restore(at, index, 'v2');
    assert.deepEqual(await served(at), new Set([other, index, ...parts].map(({ digest }) => digest)));
  });

  test('parts that come back without their index leave with the policy', async () => {
    const at = bench.place('cut-off');
    await bench.push(at, layer);
    const parts = Array.from({ length: 202 }, (_, n) => image(`part ${n} of what is cut off`));
    const index = sampleIndex(parts);
    for (const part of parts) await push(at, part);
    await push(at, index, 'v1');
    await deletions().repository(at, me);
    let changes = 0;
    const change: AuthorizedChange = async (...given) => {
      changes += 1;
      // After the question and the first parts.
      if (changes === 3) throw new Error('cut off');
      return await bench.here.change(...given);
    };
    const restores = new Restores({ ...bench.here, change, region: testRegion });
    const whole = { digest: index.digest, tag: undefined, isForced: false };
    await assert.rejects(restores.restore(at, me, whole), /cut off/);
    assert.equal((await served(at)).size, 200);
    const policy = { ...bench.here, log: quietLog, deletions: deletions(), authority: ownAuthority('retention') };
    const job = { signal: new AbortController().signal, renew: async () => {} };
    clock.advance(7 * dayMs);
    await deleteUntagged(policy, job);
    assert.equal((await served(at)).size, 200, 'an index may still come');
    clock.advance(dayMs);
    await deleteUntagged(policy, job);
    assert.equal((await served(at)).size, 0);
    await restore(at, index, 'v1');
    clock.advance(9 * dayMs);
    await deleteUntagged(policy, job);
    assert.equal((await served(at)).size, 203);
  });

  test('a signature whose blob is damaged keeps no other from coming back, and comes back itself once that is whole', async () => {
    const at = bench.place('damaged');
    const broken = sampleBlob('of a signature', 50);
    for (const blob of [layer, broken]) await bench.push(at, blob);
    const signed = image('signed');
    const subject = descriptorOf(signed, signed.mediaType);
    const whole = ['a', 'b', 'c'].map((n) => image(n, { subject }));
    const damaged = sampleImage([broken], { subject });
    for (const each of [signed, ...whole, damaged]) await push(at, each);
    await deletions().manifest(at, me, signed.digest);
    const setState = async (state: 'damaged' | 'ready') => {
      await bench.database.transaction(async (tx) => {
        await tx.updateTable('blobs').set({ state }).where('digest', '=', broken.digest).execute();
      });
    };
    await setState('damaged');
    await restore(at, signed, 'v1');
    assert.deepEqual(await served(at), new Set([signed, ...whole].map(({ digest }) => digest)));
    await assert.rejects(restore(at, damaged), { error: 'manifestBlobUnknown' });
    await setState('ready');
    await restore(at, damaged);
    assert((await served(at)).has(damaged.digest));
  });

  test('what comes back without a tag is as new to those who go by age', async () => {
    const at = bench.place('aged');
    await bench.push(at, layer);
    const old = image('old');
    await push(at, old);
    clock.advance(30 * dayMs);
    await deletions().manifest(at, me, old.digest);
    await restore(at, old);
    const sweep = async () =>
      await Array.fromAsync(
        purge({ ...bench.here, deletions: deletions() }, me, {
          registryUid: bench.registryUid,
          filters: [parsePurgeFilter('aged:.*')],
          ageMs: 5 * dayMs,
          keep: 0,
          untagged: 'only',
          includesLocked: false,
          isDryRun: true,
          signal: new AbortController().signal,
        }),
      );
    assert.deepEqual(await sweep(), []);
    clock.advance(6 * dayMs);
    assert.deepEqual(
      (await sweep()).map(({ digest }) => digest),
      [old.digest],
    );
  });

  test('a restore ends where tags of cosign lead in a circle to what cannot come back', {
    timeout: 120_000,
  }, async () => {
    const at = bench.place('circle');
    await bench.push(at, layer);
    const [signed, part] = [image('in a circle'), image('part')];
    const [one, other] = ['one', 'other'].map((n) => sampleIndex([part], { annotations: { n } }));
    assert(one !== undefined && other !== undefined);
    const under = ({ digest }: SampleManifest) => cosignTags(digest)[0] ?? '';
    await push(at, signed, 'v1');
    await push(at, part);
    await push(at, one, under(signed), under(other));
    await push(at, other, under(one));
    await deletions().repository(at, me);
    await bench.database.transaction(async (tx) => {
      await tx.deleteFrom('deleted_references').where('manifest_digest', '=', part.digest).execute();
      await tx.deleteFrom('deleted_manifests').where('digest', '=', part.digest).execute();
    });
    await restore(at, signed, 'v1');
    assert.deepEqual(await served(at), new Set([signed.digest]));
  });

  // SQLite has one writer at a time.
  if (kind === 'postgres')
    for (const isTurned of [false, true])
      test(`a restore of several never waits in a circle with who locks their blobs (${isTurned ? 'turned' : 'straight'})`, async () => {
        const at = bench.place(`locks-${isTurned}`);
        const blobs = ['first', 'second'].map((text) => sampleBlob(text));
        const [low, high] = blobs.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
        assert(low !== undefined && high !== undefined);
        for (const blob of blobs) await bench.push(at, blob);
        // Whichever part comes back first, in one of the two it has the higher blob.
        const pairs = Array.from({ length: 100 }, (_, n) =>
          [low, high].map((blob) => sampleImage([blob], { annotations: { n: `${n}` } })),
        );
        const parts = pairs.find(([a, b]) => a && b && a.digest < b.digest !== isTurned) ?? assert.fail();
        const index = sampleIndex(parts);
        for (const each of [...parts, index]) await push(at, each);
        await deletions().repository(at, me);
        let [changes, runs] = [0, 0];
        const change: AuthorizedChange = async (place, authority, work, options) => {
          changes += 1;
          return await bench.here.change(
            place,
            authority,
            async (context) => {
              runs += 1;
              return await work(context);
            },
            options,
          );
        };
        const restores = new Restores({ ...bench.here, change, region: testRegion });
        const restored = await bench.database.transaction(async (tx) => {
          const lock = async (digest: string) =>
            await tx.selectFrom('blobs').where('digest', '=', digest).select('digest').forUpdate().execute();
          await lock(low.digest);
          const under = restores.restore(at, me, { digest: index.digest, tag: undefined, isForced: false });
          // Long enough to come to the lock, and shorter than the database waits before it looks for circles.
          await setTimeout(300);
          await lock(high.digest);
          return { under };
        });
        await restored.under;
        assert.deepEqual(await served(at), new Set([index, ...parts].map(({ digest }) => digest)));
        assert.equal(runs - changes, 0, 'transactions that ran again');
      });
});
