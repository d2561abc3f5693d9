import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bodyOf, noBody } from '../../../test/support/bodies.ts';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBlob, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference } from '../../core/reference.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { Place } from '../content/place.ts';
import { collectGarbage } from './garbage-collection.ts';

const me = fullAuthority();
const graceMs = 24 * 3_600_000;
const job = { signal: new AbortController().signal, renew: async () => {} };
/** Until the next step waits for a lock. A slow machine makes another order of it, in which the same must hold. */
const stepMs = 300;

/** A collection stands between two of its statements, on PostgreSQL with the blobs locked, while somebody relies on one of them. */
forEachDatabase((_, open) => {
  let bench: ContentBench;
  const clock = new HeldClock(Date.now() * 1000);
  before(async () => {
    bench = await contentBench(open, { clock, limits: { graceMs, idleMs: 10 * graceMs } });
  });
  after(() => bench.folder.remove());

  /** A blob that an image of one repository holds, and that another one has a link to which is of no use any more. */
  const idleIn = async (name: string): Promise<{ readonly place: Place; readonly blob: SampleBlob }> => {
    const [one, place] = [bench.place(`${name}/one`), bench.place(`${name}/other`)];
    const blob = sampleBlob(name, 30);
    await bench.push(one, blob);
    const { bytes: body, mediaType: contentType } = sampleImage([blob]);
    await bench.here.manifests.push(one, me, { body, contentType, reference: parseReference('v1'), tags: [] });
    await bench.push(place, blob);
    clock.advance(graceMs + 60_000);
    return { place, blob };
  };

  /** Resolves to how the work ended. */
  const besideCollection = async (
    { repository }: Place,
    work: () => Promise<unknown>,
  ): Promise<PromiseSettledResult<unknown>> => {
    const there = await bench.another();
    const { database } = bench;
    let working: Promise<PromiseSettledResult<unknown>[]> | undefined;
    let collecting: Promise<unknown> | undefined;
    await database.transaction(async (tx) => {
      const links = tx
        .selectFrom('blob_links as l')
        .innerJoin('repositories as r', 'r.uid', 'l.repository_uid')
        .where('r.name', '=', repository)
        .select('l.digest');
      assert.equal((await lockedForUpdate(database.kind, links, 'l').execute()).length, 1);
      collecting = collectGarbage(there, job);
      await sleep(stepMs);
      working = Promise.allSettled([work()]);
      await sleep(stepMs);
    });
    await collecting;
    const [end] = (await working) ?? [];
    return end ?? assert.fail();
  };

  test('what a push in chunks was answered 201 for is there', async () => {
    const { place, blob } = await idleIn('pushed');
    const { uploads } = bench.here;
    const session = uploads.session(uploads.begin(place, me, 'sha256').ticket, place, me);
    await uploads.append(session, me, { body: bodyOf(blob.bytes), range: undefined });
    const pushed = await besideCollection(place, () =>
      uploads.finish(session, me, blob.digest, { body: noBody, range: undefined }),
    );
    assert.equal(pushed.status, 'fulfilled');
    assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
  });

  test('a blob that was told to be there stays', async () => {
    const { place, blob } = await idleIn('asked');
    const asked = await besideCollection(place, () => bench.here.blobs.find(place, blob.digest, me));
    if (asked.status === 'fulfilled') assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
    else assert(asked.reason instanceof BerthError && asked.reason.error === 'blobUnknown', String(asked.reason));
  });
});
