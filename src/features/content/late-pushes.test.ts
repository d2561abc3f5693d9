import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import {
  type ContentBench,
  type ContentProcess,
  contentBench,
  fullAuthority,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  descriptorOf,
  type SampleBlob,
  type SampleManifest,
  sampleBlob,
  sampleImage,
} from '../../../test/support/oci-samples.ts';
import { parseReference } from '../../core/reference.ts';
import { Deletions } from './deletions.ts';
import type { Place } from './place.ts';
import { gateKey } from './repository-gate.ts';

const me = fullAuthority('me');

// In PostgreSQL a change begins before others have let it in: what it pushes is newer than a deletion that began before it all the same.
forEachDatabase((kind, open) => {
  // It has one writer at a time, who takes the time then.
  if (kind === 'sqlite') return;
  let bench: ContentBench;
  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  const push = async (
    at: ContentProcess,
    place: Place,
    manifest: SampleManifest,
    reference: string = manifest.digest,
  ) =>
    await at.manifests.push(place, me, {
      ...{ body: manifest.bytes, contentType: manifest.mediaType, reference: parseReference(reference), tags: [] },
    });
  const isThere = async (digest: string) =>
    (await bench.database.read.selectFrom('manifests').where('digest', '=', digest).select('digest').execute()).length;
  /** Each step begins while those before it wait at the gate of the repository, in this order; then all are let in. */
  const queued = async (place: Place, steps: readonly (() => Promise<unknown>)[]) => {
    const [held, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holder = bench.database.transaction(async (tx) => {
      const key = gateKey(sql`cast(${place.registryUid} as text)`, sql`cast(${place.repository} as text)`);
      await sql`select pg_advisory_xact_lock(${key})`.execute(tx);
      held.resolve();
      await goOn.promise;
    });
    await held.promise;
    const running: Promise<unknown>[] = [];
    for (const step of steps) {
      running.push(step());
      await sleep(200);
    }
    goOn.resolve();
    await Promise.all([holder, ...running]);
  };
  const ofConfig = (config: SampleBlob, text: string) => sampleImage([config], { annotations: { text } });

  test('an image that is pushed after the deletion of its repository began stays', async () => {
    const place = bench.place('deleted');
    const config = sampleBlob('config');
    await bench.push(place, config);
    await push(bench.here, place, ofConfig(config, 'first'));
    const [cold, other] = [await bench.another(), await bench.another()];
    const late = ofConfig(config, 'late');
    await queued(place, [
      // Knows nothing of the repository: its time is that of its turn.
      () => push(cold, place, ofConfig(config, 'before'), 'before'),
      () => new Deletions({ ...other, region: testRegion }).repository(place, me),
      () => push(bench.here, place, late, 'late'),
    ]);
    assert.equal(await isThere(late.digest), 1);
  });

  test('a signature that is pushed after the deletion of its image began stays', async () => {
    const place = bench.place('signed');
    const config = sampleBlob('config');
    await bench.push(place, config);
    const image = sampleImage([config]);
    await push(bench.here, place, image);
    const subject = descriptorOf(image, image.mediaType);
    const signature = (text: string) => sampleImage([config], { annotations: { text }, subject });
    // More than one transaction takes.
    for (let count = 0; count < 110; count += 1) await push(bench.here, place, signature(`${count}`));
    const other = await bench.another();
    const late = signature('late');
    await queued(place, [
      () => other.manifests.remove(place, me, parseReference(image.digest)),
      () => push(bench.here, place, late),
    ]);
    assert.equal(await isThere(late.digest), 1);
  });
});
