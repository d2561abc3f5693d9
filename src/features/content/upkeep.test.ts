import assert from 'node:assert/strict';
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bodyOf, heldBody } from '../../../test/support/bodies.ts';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob } from '../../../test/support/oci-samples.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { Place } from './place.ts';
import { expireUploads, sweepOrphans, upkeepJobs } from './upkeep.ts';
import type { Uploads } from './uploads.ts';

const me = fullAuthority();
const hourMs = 3_600_000;
const job = { signal: new AbortController().signal, renew: async () => {} };

function sessionOf(uploads: Uploads, place: Place) {
  return uploads.session(uploads.begin(place, me, 'sha256').ticket, place, me);
}

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  const place = () => bench.place('app');
  const chunk = (text: string) => ({ body: bodyOf(Buffer.from(text)), range: undefined });
  const keys = async () => (await bench.stored()).map((entry) => entry.key);
  const parts = () => ({ ...bench.here, orphanGraceMs: 24 * hourMs, expiryEveryMs: 1000, sweepEveryMs: 1000 });

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock, limits: { idleMs: 24 * hourMs } });
  });
  after(() => bench.folder.remove());

  test('an upload that nobody touches ends and its bytes are freed; one in use stays', async () => {
    const { uploads } = bench.here;
    const idle = sessionOf(uploads, place());
    const used = sessionOf(uploads, place());
    const unwritten = sessionOf(uploads, place());
    const cancelled = sessionOf(uploads, place());
    await uploads.append(idle, me, chunk('idle'));
    await uploads.append(used, me, chunk('used'));
    await uploads.cancel(cancelled, me);
    clock.advance(23 * hourMs);
    await uploads.append(used, me, chunk(' more'));
    await expireUploads(parts(), job);
    assert.equal(await uploads.offset(idle, me), 4);

    clock.advance(2 * hourMs);
    await expireUploads(parts(), job);
    for (const session of [idle, unwritten, cancelled]) {
      await assert.rejects(uploads.offset(session, me), { error: 'uploadUnknown' });
      await assert.rejects(uploads.append(session, me, chunk('late')), { error: 'uploadUnknown' });
    }
    assert.equal(await uploads.offset(used, me), 9);
    assert.equal((await keys()).length, 1);
    const rows = await bench.database.read.selectFrom('uploads').select('uid').execute();
    assert.deepEqual(rows, [{ uid: used.uid }]);
    await uploads.cancel(used, me);
  });

  test('an upload that a request is writing to does not expire', async () => {
    const { uploads } = bench.here;
    const blob = sampleBlob('long upload', 1000);
    const session = sessionOf(uploads, place());
    await uploads.append(session, me, { body: bodyOf(blob.bytes.subarray(0, 100)), range: undefined });
    const held = heldBody(blob.bytes.subarray(100));
    const writing = uploads.finish(session, me, blob.digest, { body: held.body, range: undefined });
    await held.begun;
    await bench.database.transaction(async (tx) => {
      const lease_until = clock.nowMicros() + 26 * hourMs * 1000;
      await tx.updateTable('uploads').set({ lease_until }).where('uid', '=', session.uid).execute();
    });
    clock.advance(25 * hourMs);
    await expireUploads(parts(), job);
    held.release();
    await writing;
    assert((await bench.pull(place(), blob.digest)).equals(blob.bytes));
  });

  test('more expired uploads than fit one step all end', async () => {
    const now = clock.nowMicros();
    const row = {
      registry_uid: bench.registryUid,
      repository_uid: 'x',
      principal: 'x',
      algorithm: 'sha256',
      handle: '',
      offset: 0,
      parts: '[]',
      lease_owner: null,
      lease_until: 0,
      fence: 1,
      created_at: now,
      changed_at: now,
      expires_at: now - 1,
    } as const;
    await bench.database.transaction(async (tx) => {
      for (let index = 0; index < 450; index += 1) {
        await tx
          .insertInto('uploads')
          .values({ ...row, uid: `many${index}` })
          .execute();
      }
    });
    let renewals = 0;
    const renew = async () => {
      renewals += 1;
    };
    await expireUploads(parts(), { ...job, renew });
    const left = await bench.database.read
      .selectFrom('uploads')
      .select('uid')
      .where('repository_uid', '=', 'x')
      .execute();
    assert.deepEqual(left, []);
    assert.equal(renewals, 2);
  });

  test('bytes that nothing names are freed after the grace, and nothing else', async () => {
    const { store, uploads } = bench.here;
    await sweepOrphans(parts(), job);
    const blob = sampleBlob('kept');
    await bench.push(place(), blob);
    const session = sessionOf(uploads, place());
    await uploads.append(session, me, chunk('open'));
    const kept = await keys();
    const finished = await store.begin();
    await store.complete(finished, [(await store.part(finished, { number: 1, offset: 0 }, bytes('lost'))).token]);
    const unfinished = await store.begin();
    await store.part(unfinished, { number: 1, offset: 0 }, bytes('lost too'));
    writeFileSync(join(bench.folder.path, 'blobs', '00', 'lost+found'), 'not ours');

    // The store tells its own time: all was written just now.
    clock.setWall(Date.now() * 1000 + 23 * hourMs * 1000);
    await sweepOrphans(parts(), job);
    assert.equal((await keys()).length, kept.length + 2);

    clock.advance(2 * hourMs);
    await sweepOrphans(parts(), job);
    assert.deepEqual((await keys()).sort(), kept.sort());
    assert.equal(await uploads.offset(session, me), 4);
    assert((await bench.pull(place(), blob.digest)).equals(blob.bytes));
  });

  test('a clock that was set back frees nothing early', async () => {
    const { store } = bench.here;
    const handle = await store.begin();
    await store.part(handle, { number: 1, offset: 0 }, bytes('young'));
    const inAWeek = Date.now() / 1000 + 7 * 24 * 3600;
    utimesSync(join(bench.folder.path, 'incoming', handle), inAWeek, inAWeek);
    clock.setWall(Date.now() * 1000 + 48 * hourMs * 1000);
    await sweepOrphans(parts(), job);
    assert((await keys()).includes(handle));
    await store.abort(handle);
  });

  test('a job that lost its lease stops', async () => {
    const { store } = bench.here;
    const handle = await store.begin();
    await store.part(handle, { number: 1, offset: 0 }, bytes('lost'));
    clock.setWall(Date.now() * 1000 + 48 * hourMs * 1000);
    await sweepOrphans(parts(), { ...job, signal: AbortSignal.abort() });
    assert((await keys()).includes(handle));
    await sweepOrphans(parts(), job);
    assert(!(await keys()).includes(handle));
  });

  test('both jobs repeat by themselves', () => {
    assert.deepEqual(
      upkeepJobs(parts()).map(({ kind, everyMs }) => [kind, everyMs]),
      [
        ['content.uploads.expire', 1000],
        ['content.orphans.sweep', 1000],
      ],
    );
  });
});

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
