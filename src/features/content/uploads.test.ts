import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bodyOf, ConnectionCut, cutBody, heldBody, noBody, streamedBody } from '../../../test/support/bodies.ts';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { hashOf, sampleBlob } from '../../../test/support/oci-samples.ts';
import type { DigestAlgorithm } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from './place.ts';
import type { Chunk, ChunkRange, Uploads } from './uploads.ts';

const mebi = 1024 * 1024;
const me = fullAuthority('me');
const ended = { body: noBody, range: undefined };

const chunkOf = (bytes: Uint8Array, range?: ChunkRange): Chunk => ({ body: bodyOf(bytes), range });

function sessionOf(uploads: Uploads, place: Place, authority = me, algorithm: DigestAlgorithm = 'sha256') {
  return uploads.session(uploads.begin(place, authority, algorithm).ticket, place, authority);
}

/** Without the difference, which takes minutes to print for a few MiB. */
function assertSame(actual: Buffer, expected: Buffer): void {
  assert(actual.equals(expected), 'the bytes are not those that were pushed');
}

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let uploads: Uploads;
  let count = 0;
  /** A repository that no other test uses. */
  const fresh = () => {
    count += 1;
    return bench.place(`team/app${count}`);
  };

  before(async () => {
    bench = await contentBench(open);
    uploads = bench.here.uploads;
  });
  after(() => bench.folder.remove());

  test('a session that was only begun keeps nothing', async () => {
    const place = fresh();
    const session = sessionOf(uploads, place);
    assert.equal(await uploads.offset(session, me), 0);
    const rows = await bench.database.read.selectFrom('uploads').where('uid', '=', session.uid).selectAll().execute();
    assert.deepEqual(rows, []);
  });

  test('a blob is pushed in one request', async () => {
    const place = fresh();
    const blob = sampleBlob('one request', 3 * mebi + 5);
    await uploads.push(place, me, blob.digest, bodyOf(blob.bytes));
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a blob is pushed in chunks, with an empty last one', async () => {
    const place = fresh();
    const blob = sampleBlob('chunks', 2 * mebi + 100);
    const session = sessionOf(uploads, place);
    assert.equal(await uploads.append(session, me, chunkOf(blob.bytes.subarray(0, mebi))), mebi);
    assert.equal(await uploads.append(session, me, chunkOf(blob.bytes.subarray(mebi))), blob.bytes.length);
    assert.equal(await uploads.offset(session, me), blob.bytes.length);
    await uploads.finish(session, me, blob.digest, ended);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('the last chunk may hold bytes', async () => {
    const place = fresh();
    const blob = sampleBlob('last chunk', 1000);
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(0, 300)));
    await uploads.finish(session, me, blob.digest, chunkOf(blob.bytes.subarray(300), { start: 300, lengthBytes: 700 }));
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a finished session is unknown', async () => {
    const place = fresh();
    const blob = sampleBlob('finished');
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(blob.bytes));
    await uploads.finish(session, me, blob.digest, ended);
    await assert.rejects(uploads.offset(session, me), { error: 'uploadUnknown' });
    await assert.rejects(uploads.append(session, me, chunkOf(blob.bytes)), { error: 'uploadUnknown' });
    await assert.rejects(uploads.finish(session, me, blob.digest, ended), { error: 'uploadUnknown' });
    await assert.rejects(uploads.cancel(session, me), { error: 'uploadUnknown' });
  });

  test('an empty blob is pushed in one request, in a session, and again', async () => {
    const blob = sampleBlob('');
    const place = fresh();
    await uploads.push(place, me, blob.digest, noBody);
    await uploads.push(place, me, blob.digest, streamedBody());
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, { body: noBody, range: undefined });
    await uploads.finish(session, me, blob.digest, ended);
    assert.equal((await bench.pull(place, blob.digest)).length, 0);
  });

  const sha512Ways: readonly [how: string, algorithm: DigestAlgorithm][] = [
    ['a session begun for it', 'sha512'],
    ['a session begun for sha256, read once more', 'sha256'],
  ];
  for (const [how, algorithm] of sha512Ways) {
    test(`a blob is named by sha512 from ${how}`, async () => {
      const place = fresh();
      const { bytes } = sampleBlob(how, 5000);
      const digest = hashOf(bytes, 'sha512');
      const session = sessionOf(uploads, place, me, algorithm);
      await uploads.append(session, me, chunkOf(bytes));
      await uploads.finish(session, me, digest, ended);
      assertSame(await bench.pull(place, digest), bytes);
    });
  }

  test('a ticket is of no use in another repository, registry or hand, nor changed', () => {
    const place = fresh();
    const { ticket } = uploads.begin(place, me, 'sha256');
    const [uid, started, algorithm, mac] = ticket.split('.');
    const unknown = { error: 'uploadUnknown' };
    assert.throws(() => uploads.session(ticket, fresh(), me), unknown);
    assert.throws(() => uploads.session(ticket, { ...place, registryUid: bench.otherUid }, me), unknown);
    assert.throws(() => uploads.session(ticket, place, fullAuthority('another')), unknown);
    const changed = [
      '',
      'x',
      ticket.slice(1),
      `${ticket}A`,
      `${uid}.${started}.1.${mac}`,
      `${uid}.zzzz.${algorithm}.${mac}`,
      `${'a'.repeat(26)}.${started}.${algorithm}.${mac}`,
      `${uid}.${started}.9.${mac}`,
      `${uid}.${started}.${algorithm}.${'A'.repeat(22)}`,
      `../${ticket}`,
      `${ticket}\n`,
    ];
    for (const text of changed) assert.throws(() => uploads.session(text, place, me), unknown, text);
  });

  test('a ticket works in another process', async () => {
    const place = fresh();
    const there = await bench.another();
    const { ticket } = uploads.begin(place, me, 'sha256');
    const blob = sampleBlob('elsewhere');
    await there.uploads.finish(there.uploads.session(ticket, place, me), me, blob.digest, chunkOf(blob.bytes));
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a chunk out of place is refused and tells how to go on', async () => {
    const place = fresh();
    const blob = sampleBlob('out of place', 30);
    const session = sessionOf(uploads, place);
    const part = (start: number, end: number) =>
      uploads.append(session, me, chunkOf(blob.bytes.subarray(start, end), { start, lengthBytes: end - start }));
    await assert.rejects(part(10, 20), { error: 'uploadRange', detail: { offset: 0, start: 10 } });
    await part(0, 10);
    await assert.rejects(part(0, 10), { error: 'uploadRange', detail: { offset: 10, start: 0 } });
    await assert.rejects(part(20, 30), { error: 'uploadRange', detail: { offset: 10, start: 20 } });
    await assert.rejects(part(5, 15), { error: 'uploadRange' });
    const last = chunkOf(blob.bytes.subarray(20), { start: 20, lengthBytes: 10 });
    await assert.rejects(uploads.finish(session, me, blob.digest, last), { error: 'uploadRange' });
    assert.equal(await part(10, 30), 30);
    await uploads.finish(session, me, blob.digest, ended);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a chunk that is not as long as it says is refused, and the session goes on', async () => {
    const place = fresh();
    const blob = sampleBlob('wrong length', 20);
    const session = sessionOf(uploads, place);
    const first = blob.bytes.subarray(0, 10);
    for (const lengthBytes of [9, 11]) {
      const range = { start: 0, lengthBytes };
      await assert.rejects(uploads.append(session, me, chunkOf(first, range)), { error: 'sizeInvalid' });
      await assert.rejects(uploads.append(session, me, { body: streamedBody(first), range }), { error: 'sizeInvalid' });
      assert.equal(await uploads.offset(session, me), 0);
    }
    await uploads.append(session, me, chunkOf(first, { start: 0, lengthBytes: 10 }));
    for (const lengthBytes of [9, 11]) {
      const range = { start: 10, lengthBytes };
      const body = streamedBody(blob.bytes.subarray(10));
      await assert.rejects(uploads.append(session, me, { body, range }), { error: 'sizeInvalid' });
      const again = streamedBody(blob.bytes.subarray(10));
      await assert.rejects(uploads.finish(session, me, blob.digest, { body: again, range }), { error: 'sizeInvalid' });
      assert.equal(await uploads.offset(session, me), 10);
    }
    await uploads.finish(session, me, blob.digest, chunkOf(blob.bytes.subarray(10)));
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('bytes that came before a connection broke are kept, and another process goes on from there', async () => {
    const place = fresh();
    const blob = sampleBlob('cut', 3 * mebi);
    const { ticket } = uploads.begin(place, me, 'sha256');
    const session = uploads.session(ticket, place, me);
    await assert.rejects(
      uploads.append(session, me, { body: cutBody(blob.bytes.subarray(0, mebi), 3 * mebi), range: undefined }),
      ConnectionCut,
    );
    const there = (await bench.another()).uploads;
    const same = there.session(ticket, place, me);
    assert.equal(await there.offset(same, me), mebi);
    const rest = blob.bytes.subarray(mebi, 2 * mebi);
    await assert.rejects(there.append(same, me, { body: cutBody(rest, 2 * mebi), range: undefined }), ConnectionCut);
    assert.equal(await uploads.offset(session, me), 2 * mebi);
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(2 * mebi)));
    await there.finish(same, me, blob.digest, ended);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a connection that breaks in the closing request leaves the session where it was', async () => {
    const place = fresh();
    const blob = sampleBlob('cut at the end', 2000);
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(0, 1000)));
    const body = cutBody(blob.bytes.subarray(1000, 1500), 1000);
    await assert.rejects(uploads.finish(session, me, blob.digest, { body, range: undefined }), ConnectionCut);
    assert.equal(await uploads.offset(session, me), 1000);
    await uploads.finish(session, me, blob.digest, chunkOf(blob.bytes.subarray(1000)));
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a connection that breaks in a push without a session leaves nothing', async () => {
    const before = (await bench.stored()).length;
    const blob = sampleBlob('cut push', 2000);
    const cut = uploads.push(fresh(), me, blob.digest, cutBody(blob.bytes.subarray(0, 1000), 2000));
    await assert.rejects(cut, ConnectionCut);
    assert.equal((await bench.stored()).length, before);
  });

  test('while one request writes, others on the same upload are told so', async () => {
    const place = fresh();
    const there = (await bench.another()).uploads;
    const blob = sampleBlob('busy', 1000);
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(0, 100)));
    const held = heldBody(blob.bytes.subarray(100));
    const writing = uploads.append(session, me, { body: held.body, range: undefined });
    await held.begun;
    for (const other of [uploads, there]) {
      await assert.rejects(other.append(session, me, chunkOf(blob.bytes.subarray(100))), { error: 'uploadBusy' });
      await assert.rejects(other.finish(session, me, blob.digest, ended), { error: 'uploadBusy' });
      await assert.rejects(other.cancel(session, me), { error: 'uploadBusy' });
      assert.equal(await other.offset(session, me), 100);
    }
    held.release();
    assert.equal(await writing, 1000);
    await there.finish(session, me, blob.digest, ended);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('of two first chunks at once one is stored', async () => {
    const place = fresh();
    const blob = sampleBlob('two first chunks', 1000);
    const session = sessionOf(uploads, place);
    const held = heldBody(sampleBlob('other bytes', 1000).bytes);
    const late = uploads.append(session, me, { body: held.body, range: undefined });
    await held.begun;
    await uploads.append(session, me, chunkOf(blob.bytes));
    held.release();
    await assert.rejects(late, { error: 'uploadBusy' });
    await uploads.finish(session, me, blob.digest, ended);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a request that looked before another stored its chunk does not write over it', async () => {
    const place = fresh();
    const blob = sampleBlob('stale look', 30);
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(0, 10)));
    const held = heldBody(blob.bytes.subarray(10, 20));
    const first = uploads.append(session, me, { body: held.body, range: undefined });
    await held.begun;
    const looked = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const slow: Authority = {
      ...me,
      confirm: async () => {
        looked.resolve();
        await goOn.promise;
      },
    };
    const second = uploads.append(session, slow, chunkOf(Buffer.alloc(10, 'x'), { start: 10, lengthBytes: 10 }));
    await looked.promise;
    held.release();
    assert.equal(await first, 20);
    goOn.resolve();
    await assert.rejects(second, { error: 'uploadBusy' });
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(20)));
    await uploads.finish(session, me, blob.digest, ended);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a request that lost its hold cannot write what another one stored after it', async () => {
    const place = fresh();
    const there = (await bench.another()).uploads;
    const blob = sampleBlob('lost hold', 1000);
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(0, 100)));
    const held = heldBody(Buffer.alloc(900, 'x'));
    const paused = uploads.append(session, me, { body: held.body, range: undefined });
    await held.begun;
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('uploads').set({ lease_until: 0 }).where('uid', '=', session.uid).execute();
    });
    assert.equal(await there.append(session, me, chunkOf(blob.bytes.subarray(100))), 1000);
    held.release();
    await assert.rejects(paused, { error: 'uploadUnknown' });
    assert.equal(await there.offset(session, me), 1000);
    await there.finish(session, me, blob.digest, ended);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('after a crash what it held is given back', async () => {
    const place = fresh();
    const blob = sampleBlob('crash', 1000);
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(blob.bytes.subarray(0, 100)));
    await bench.database.transaction(async (tx) => {
      const hold = { lease_owner: 'a killed process', lease_until: Date.now() * 1000 + 30_000_000 };
      await tx.updateTable('uploads').set(hold).where('uid', '=', session.uid).execute();
    });
    const restarted = (await bench.another()).uploads;
    await assert.rejects(restarted.finish(session, me, blob.digest, ended), { error: 'uploadBusy' });
    await restarted.releaseAll();
    await restarted.finish(session, me, blob.digest, chunkOf(blob.bytes.subarray(100)));
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('one identity holds no more uploads open than allowed', async () => {
    const limited = (await bench.another({ limits: { maxOpenPerIdentity: 2 } })).uploads;
    const someone = fullAuthority('someone');
    const place = fresh();
    const sessions = [1, 2, 3].map(() => sessionOf(limited, place, someone));
    const [first, second, third] = sessions;
    assert(first && second && third);
    await limited.append(first, someone, chunkOf(Buffer.from('a')));
    await limited.append(second, someone, chunkOf(Buffer.from('b')));
    const stored = (await bench.stored()).length;
    await assert.rejects(limited.append(third, someone, chunkOf(Buffer.from('c'))), { error: 'uploadTooMany' });
    assert.equal((await bench.stored()).length, stored);
    const other = fullAuthority('someone else');
    await limited.append(sessionOf(limited, place, other), other, chunkOf(Buffer.from('d')));
    await limited.append(first, someone, chunkOf(Buffer.from('e')));
    await limited.cancel(first, someone);
    await limited.append(third, someone, chunkOf(Buffer.from('c')));
  });

  test('a blob larger than allowed is refused', async () => {
    const limited = (await bench.another({ limits: { maxBlobBytes: 1000 } })).uploads;
    const place = fresh();
    const blob = sampleBlob('just fits', 1000);
    const large = sampleBlob('too large', 1001);
    const tooLarge = { error: 'blobTooLarge' };
    await limited.push(place, me, blob.digest, bodyOf(blob.bytes));
    await assert.rejects(limited.push(place, me, large.digest, bodyOf(large.bytes)), tooLarge);
    await assert.rejects(limited.push(place, me, large.digest, streamedBody(large.bytes)), tooLarge);
    const session = sessionOf(limited, place);
    await limited.append(session, me, chunkOf(large.bytes.subarray(0, 600)));
    const rest = large.bytes.subarray(600);
    await assert.rejects(limited.append(session, me, chunkOf(rest)), tooLarge);
    await assert.rejects(limited.append(session, me, { body: streamedBody(rest), range: undefined }), tooLarge);
    assert.equal(await limited.offset(session, me), 600);
  });

  test('a body that announces too much is refused before it is read', async () => {
    const limited = (await bench.another({ limits: { maxBlobBytes: 1000 } })).uploads;
    const held = heldBody(Buffer.alloc(1001));
    await assert.rejects(limited.push(fresh(), me, hashOf(Buffer.alloc(1001)), held.body), { error: 'blobTooLarge' });
    assert.equal(await Promise.race([held.begun.then(() => 'read'), Promise.resolve('not read')]), 'not read');
  });

  test('a body that is refused half-way is closed', async () => {
    const limited = (await bench.another({ limits: { maxBlobBytes: 1000 } })).uploads;
    let isClosed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        while (true) yield Buffer.alloc(300);
      } finally {
        isClosed = true;
      }
    }
    const { digest } = sampleBlob('endless');
    const refused = limited.push(fresh(), me, digest, { bytes: endless(), lengthBytes: undefined });
    await assert.rejects(refused, { error: 'blobTooLarge' });
    assert.equal(isClosed, true);
  });

  test('bytes that are not what their digest says leave nothing, and end the session', async () => {
    const place = fresh();
    const before = (await bench.stored()).length;
    const { digest } = sampleBlob('something else');
    const wrong = { error: 'digestInvalid' };
    await assert.rejects(uploads.push(place, me, digest, bodyOf(Buffer.from('this'))), wrong);
    const session = sessionOf(uploads, place);
    await uploads.append(session, me, chunkOf(Buffer.from('this')));
    await assert.rejects(uploads.finish(session, me, digest, ended), wrong);
    await assert.rejects(uploads.offset(session, me), { error: 'uploadUnknown' });
    assert.equal((await bench.stored()).length, before);
  });

  test('a cancelled session is unknown and its bytes are free', async () => {
    const place = fresh();
    const before = (await bench.stored()).length;
    const written = sessionOf(uploads, place);
    await uploads.append(written, me, chunkOf(Buffer.from('bytes')));
    const unwritten = sessionOf(uploads, place);
    for (const session of [written, unwritten]) {
      await uploads.cancel(session, me);
      await assert.rejects(uploads.offset(session, me), { error: 'uploadUnknown' });
      await assert.rejects(uploads.append(session, me, chunkOf(Buffer.from('x'))), { error: 'uploadUnknown' });
      await assert.rejects(uploads.cancel(session, me), { error: 'uploadUnknown' });
    }
    assert.equal((await bench.stored()).length, before);
  });

  test('the same digest pushed twice at once is stored once', async () => {
    const place = fresh();
    const before = (await bench.stored()).length;
    const there = (await bench.another()).uploads;
    const blob = sampleBlob('twice at once', mebi);
    const held = heldBody(blob.bytes);
    const one = uploads.push(place, me, blob.digest, held.body);
    await held.begun;
    const other = there.push(fresh(), me, blob.digest, bodyOf(blob.bytes));
    held.release();
    await Promise.all([one, other]);
    await uploads.push(fresh(), me, blob.digest, bodyOf(blob.bytes));
    assert.equal((await bench.stored()).length, before + 1);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
  });

  test('a new push replaces a stored copy that is no longer right, though nobody noticed', async () => {
    const place = fresh();
    const blob = sampleBlob('silent damage', 1000);
    await bench.push(place, blob);
    const { storageKey } = await bench.here.blobs.find(place, blob.digest, me);
    const file = join(bench.folder.path, 'blobs', storageKey.slice(0, 2), storageKey);
    const bytes = readFileSync(file);
    bytes.writeUInt8(bytes.readUInt8(500) ^ 1, 500);
    writeFileSync(file, bytes);
    const stored = (await bench.stored()).length;
    await bench.push(fresh(), blob);
    assertSame(await bench.pull(place, blob.digest), blob.bytes);
    assert.equal((await bench.stored()).length, stored);
  });

  test('a finish that failed at its last step can be sent again', async () => {
    for (const failpoint of ['blob.fsync.before', 'blob.rename.after', 'blob.commit.before'] as const) {
      const place = fresh();
      const failing = (await bench.another({ failpoints: `${failpoint}:error@1` })).uploads;
      const blob = sampleBlob(`failed at ${failpoint}`, 1000);
      const session = sessionOf(failing, place);
      await failing.append(session, me, chunkOf(blob.bytes));
      await assert.rejects(failing.finish(session, me, blob.digest, ended), /failpoint/);
      // The bytes may be gone for good: then the session says so, and a new push goes through.
      await failing.finish(session, me, blob.digest, ended).catch((error: unknown) => {
        assert(error instanceof BerthError && error.error === 'uploadUnknown', String(error));
      });
      await failing.push(place, me, blob.digest, bodyOf(blob.bytes));
      assertSame(await bench.pull(place, blob.digest), blob.bytes);
    }
  });
});
