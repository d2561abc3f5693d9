import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../support/wait-for.ts';
import { type BlobSeed, blobSeed, bytesOf } from './content.ts';
import { leftoversIn } from './leftovers.ts';
import { isWhole, locationOf } from './registry-client.ts';
import { Trial } from './trial.ts';

const repository = 'uploads';

describe('F-20: broken uploads are refused, and go on where they stand', () => {
  let trial: Trial;
  let blob: BlobSeed;
  let bytes: Buffer;
  before(async () => {
    blob = blobSeed(3_000_000);
    bytes = bytesOf(blob);
    trial = new Trial();
    await trial.start();
  });
  after(() => trial[Symbol.asyncDispose]());

  const wrongRanges = [
    ['a gap', '1000001-1000010', 416],
    ['an overlap', '999999-1000008', 416],
    ['a repeat from the start', '0-9', 416],
    ['a reversed range', '1000009-1000000', 400],
    ['no range', 'all', 400],
    ['another length than the body', '1000000-1000020', 400],
  ] as const;
  for (const [name, contentRange, status] of wrongRanges) {
    test(`a chunk with ${name} is answered ${status} and the upload goes on`, async () => {
      const location = await trial.client.openUpload(repository, bytes.subarray(0, 1_000_000));
      const headers = { 'content-range': contentRange };
      const refused = await trial.client.call('PATCH', location, { body: bytes.subarray(0, 10), headers });
      assert.equal(refused.status, status);
      assert.equal(await offsetOf(location), 1_000_000);
      await finish(location, 1_000_000);
    });
  }

  test('a wrong digest is answered DIGEST_INVALID and ends the upload', async () => {
    const location = await trial.client.openUpload(repository, bytes.subarray(0, 100));
    const refused = await trial.client.call('PUT', `${location}?digest=${blob.digest}`);
    assert.equal(refused.status, 400);
    assert.match(refused.body.toString(), /DIGEST_INVALID/);
    assert.equal((await trial.client.call('GET', location)).status, 404);
  });

  test('a second end of an upload finds it gone and the blob in place', async () => {
    const location = await trial.client.openUpload(repository, bytes);
    await trial.client.expect(201, 'PUT', `${location}?digest=${blob.digest}`);
    await trial.client.expect(404, 'PUT', `${location}?digest=${blob.digest}`);
    assert.ok(isWhole(await trial.client.blob(repository, blob.digest), blob.digest));
  });

  test('what arrived before the connection broke is kept, and the upload goes on from there', async () => {
    const location = await trial.client.openUpload(repository, bytes.subarray(0, 1_000_000));
    await sendAndBreak(location, bytes.subarray(1_000_000), 1_500_000);
    const offset = await waitFor('the broken request is over', 60_000, async () => {
      const stored = await offsetOf(location);
      return stored > 1_000_000 && stored;
    });
    assert.ok(offset <= 2_500_000);
    await finish(location, offset);
  });

  for (const end of ['stopped', 'killed'] as const) {
    test(`an upload goes on after the server was ${end}, without sending bytes again`, async () => {
      const location = await trial.client.openUpload(repository, bytes.subarray(0, 2_000_000));
      await (end === 'stopped' ? trial.server.stop() : trial.server.kill());
      await trial.start();
      assert.equal(await offsetOf(location), 2_000_000);
      await finish(location, 2_000_000);
    });
  }

  test('an upload goes on at once after the server was killed while it received a chunk', async () => {
    const location = await trial.client.openUpload(repository, bytes.subarray(0, 2_000_000));
    await Promise.all([
      sendAndBreak(location, bytes.subarray(2_000_000), 500_000, 2_000),
      sleep(500).then(() => trial.server.kill()),
    ]);
    await trial.start();
    assert.equal(await offsetOf(location), 2_000_000);
    await finish(location, 2_000_000);
  });

  test('DL-07: sixty abandoned uploads leave nothing behind', async () => {
    await Promise.all(Array.from({ length: 60 }, () => trial.client.openUpload(repository, bytes.subarray(0, 50_000))));
    assert.ok(leftoversIn(trial.dataFolder).openUploads >= 60);
    await trial.verifyClean();
  });

  async function offsetOf(location: string): Promise<number> {
    const { headers } = await trial.client.expect(204, 'GET', location);
    return Number(String(headers.range).split('-')[1]) + 1;
  }

  /** Sends the rest, checks that the blob is whole, and takes it away again. */
  async function finish(location: string, offset: number): Promise<void> {
    const headers = { 'content-range': `${offset}-${bytes.length - 1}` };
    const moved = locationOf(
      await trial.client.expect(202, 'PATCH', location, { body: bytes.subarray(offset), headers }),
    );
    await trial.client.expect(201, 'PUT', `${moved}?digest=${blob.digest}`);
    assert.ok(isWhole(await trial.client.blob(repository, blob.digest), blob.digest));
    await trial.client.expect(202, 'DELETE', `/v2/${repository}/blobs/${blob.digest}`);
  }

  /** Announces all of `chunk`, sends `sent` bytes of it, and breaks the connection after `holdMs`. */
  async function sendAndBreak(location: string, chunk: Buffer, sent: number, holdMs = 200): Promise<void> {
    const { username, password } = trial.server.admin;
    const outgoing = request(`${trial.server.http}${location}`, {
      method: 'PATCH',
      auth: `${username}:${password}`,
      headers: { 'content-length': chunk.length },
    });
    outgoing.on('error', () => {});
    outgoing.write(chunk.subarray(0, sent));
    await sleep(holdMs);
    outgoing.destroy();
  }
});
