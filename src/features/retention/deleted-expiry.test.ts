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
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { AttributeChanges } from '../content/attribute-changes.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import { keepTags } from '../content/deleted-content.ts';
import { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { dropDeleted, expireDeleted } from './deleted-expiry.ts';
import { DeletedListings } from './deleted-listings.ts';
import { ownAuthority } from './own-authority.ts';

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
      await tx.updateTable('registries').set({ keeps_deleted: 1 }).execute();
    });
  });
  after(() => bench.folder.remove());

  const expiry = { log: quietLog, region: testRegion, authority: ownAuthority('soft delete policy') };
  const deleteMany = async (at: Place, count: number) => {
    await bench.push(at, layer);
    const images = Array.from({ length: count }, (_, n) => sampleImage([layer], { annotations: { n: `${n}` } }));
    for (const { bytes, mediaType, digest } of images) {
      const push = { body: bytes, contentType: mediaType, reference: parseReference(digest), tags: [] };
      await bench.here.manifests.push(at, me, push);
    }
    await new Deletions({ ...bench.here, region: testRegion }).repository(at, me);
  };
  const kept = async (at: Place) => {
    const rows = await bench.database.read
      .selectFrom('deleted_manifests as d')
      .innerJoin('repositories as r', 'r.uid', 'd.repository_uid')
      .where('r.name', '=', at.repository)
      .select('d.digest')
      .execute();
    return rows.length;
  };
  /** `meanwhile` happens before the n-th change. */
  const interrupted = (n: number, meanwhile: () => Promise<void>): AuthorizedChange => {
    let count = 0;
    return async (...given) => {
      count += 1;
      if (count === n) await meanwhile();
      return await bench.here.change(...given);
    };
  };

  test('whoever lengthens the policy keeps what has not been dropped by then', async () => {
    const at = bench.place('lengthened');
    await deleteMany(at, 3);
    clock.advance(7 * dayMs);
    const setDays = async (days: number) =>
      await bench.database.transaction(async (tx) => {
        await tx.updateTable('registries').set({ deleted_days: days }).execute();
      });
    const change = interrupted(1, async () => await setDays(90));
    const job = { signal: new AbortController().signal, renew: async () => {} };
    assert.equal(await expireDeleted({ ...bench.here, ...expiry, change }, job), 0);
    assert.equal(await kept(at), 3);
    await setDays(7);
    assert.equal(await expireDeleted({ ...bench.here, ...expiry }, job), 3);
  });

  test('a lock ends a drop by hand where it stands', async () => {
    const at = bench.place('locked');
    const held = sampleImage([layer], { annotations: { n: 'held' } });
    await deleteMany(at, 230);
    await bench.push(at, layer);
    const push = { body: held.bytes, contentType: held.mediaType, reference: parseReference('held'), tags: [] };
    await bench.here.manifests.push(at, me, push);
    const lock = async () =>
      await new AttributeChanges({ ...bench.here, region: testRegion }).repository(at, me, { deleteEnabled: false });
    // After the look at the locks and the first slice.
    const change = interrupted(3, lock);
    await assert.rejects(dropDeleted({ ...bench.here, ...expiry, change }, at, me), { error: 'contentLocked' });
    assert.equal(await kept(at), 30);
  });

  test('what is deleted while a drop by hand ends is kept with its tags', async () => {
    const at = bench.place('late');
    await deleteMany(at, 1);
    await bench.push(at, layer);
    const late = sampleImage([layer], { annotations: { n: 'late' } });
    const push = { body: late.bytes, contentType: late.mediaType, reference: parseReference('v1'), tags: [] };
    await bench.here.manifests.push(at, me, push);
    const remove = async () => await new Deletions({ ...bench.here, region: testRegion }).manifest(at, me, late.digest);
    // After the look at the locks and the one slice.
    await dropDeleted({ ...bench.here, ...expiry, change: interrupted(3, remove) }, at, me);
    const tags = await new DeletedListings(bench.database).tags(at, me, { limit: 10 });
    assert.deepEqual([await kept(at), tags.map(({ tag }) => tag)], [1, ['v1']]);
  });

  test('what is deleted while a drop by hand goes on is kept, tags of what is still served too', async () => {
    const at = bench.place('meanwhile');
    await deleteMany(at, 230);
    await bench.push(at, layer);
    const [late, served] = ['deleted meanwhile', 'served'].map((n) => sampleImage([layer], { annotations: { n } }));
    assert(late !== undefined && served !== undefined);
    for (const [tag, { bytes, mediaType }] of [
      ['v1', late],
      ['w1', served],
    ] as const) {
      const push = { body: bytes, contentType: mediaType, reference: parseReference(tag), tags: [] };
      await bench.here.manifests.push(at, me, push);
    }
    const remove = async () => {
      clock.advance(1);
      const deletions = new Deletions({ ...bench.here, region: testRegion });
      await deletions.manifest(at, me, late.digest);
      await deletions.tag(at, me, parseTag('w1'));
    };
    // After the look at the locks, before the first of two slices.
    const count = await dropDeleted({ ...bench.here, ...expiry, change: interrupted(2, remove) }, at, me);
    const tags = await new DeletedListings(bench.database).tags(at, me, { limit: 10 });
    assert.deepEqual([count, await kept(at), tags.map(({ tag }) => tag)], [230, 1, ['v1', 'w1']]);
  });

  test('a repository that fails holds no other up, however much of it is due', async () => {
    const [broken, whole] = [bench.place('broken'), bench.place('whole')];
    await deleteMany(broken, 201);
    clock.advance(dayMs);
    await deleteMany(whole, 1);
    clock.advance(8 * dayMs);
    const change: AuthorizedChange = async (at, ...given) => {
      if (at.repository === broken.repository) throw new Error('broken');
      return await bench.here.change(at, ...given);
    };
    const job = { signal: new AbortController().signal, renew: async () => {} };
    await assert.rejects(expireDeleted({ ...bench.here, ...expiry, change }, job), AggregateError);
    assert.deepEqual([await kept(broken), await kept(whole)], [201, 0]);
  });

  // SQLite has one writer at a time.
  if (kind === 'postgres')
    test('a tag that is deleted anew while the expiry waits for it is kept', async () => {
      const at = bench.place('anew');
      const image = sampleImage([layer], { annotations: { n: 'anew' } });
      await bench.push(at, layer);
      const push = { body: image.bytes, contentType: image.mediaType, reference: parseReference('v1'), tags: [] };
      await bench.here.manifests.push(at, me, push);
      const { uid } = await bench.database.read
        .selectFrom('repositories')
        .where('name', '=', at.repository)
        .select('uid')
        .executeTakeFirstOrThrow();
      const tags = ['v1', 'v2'].map((name) => ({ name, digest: image.digest }));
      await bench.database.transaction(async (tx) => await keepTags(tx, uid, tags, clock.nowMicros()));
      clock.advance(7 * dayMs);
      const job = { signal: new AbortController().signal, renew: async () => {} };
      const { under } = await bench.database.transaction(async (tx) => {
        await keepTags(tx, uid, tags.slice(0, 1), clock.nowMicros());
        const expired = expireDeleted({ ...bench.here, ...expiry }, job);
        // Long enough to come to the lock.
        await setTimeout(300);
        return { under: expired };
      });
      await under;
      const left = await new DeletedListings(bench.database).tags(at, me, { limit: 10 });
      assert.deepEqual(
        left.map(({ tag }) => tag),
        ['v1'],
      );
    });
});
