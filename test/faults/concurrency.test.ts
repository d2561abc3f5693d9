import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { blobSeed, bytesOf, imageOf } from './content.ts';
import { storageKeys } from './leftovers.ts';
import { count } from './length.ts';
import { type Answer, isWhole, locationOf } from './registry-client.ts';
import { Trial } from './trial.ts';
import { walk } from './verify.ts';

const clients = 50;
const rounds = count(1, 20);

describe('F-28: clients that meet', () => {
  let trial: Trial;
  before(async () => {
    trial = new Trial();
    await trial.start();
  });
  after(() => trial[Symbol.asyncDispose]());

  // DL-14: two clients commit the same layer at once and the loser gets 400.
  test(`${clients} clients push one blob to ${clients} repositories: all get 201, it is stored once`, async () => {
    for (let round = 0; round < rounds; round += 1) {
      const blob = blobSeed(400_000);
      const before = storageKeys(trial.dataFolder).size;
      await each((index) => trial.client.pushBlob(`many/${index}`, blob));
      assert.equal(storageKeys(trial.dataFolder).size, before + 1);
      await each(async (index) => {
        assert.ok(isWhole(await trial.client.blob(`many/${index}`, blob.digest), blob.digest));
      });
    }
  });

  test(`${clients} clients push one blob to one repository: all get 201`, async () => {
    for (let round = 0; round < rounds; round += 1) {
      const blob = blobSeed(400_000);
      await each((index) => trial.client.pushBlob('one', blob, index % 2 === 0 ? 'one request' : 'chunks'));
      assert.ok(isWhole(await trial.client.blob('one', blob.digest), blob.digest));
    }
  });

  // DL-13: concurrent pushes lose layers.
  test(`${clients} images with shared layers pushed at once all keep every layer`, async () => {
    for (let round = 0; round < rounds; round += 1) {
      const shared = Array.from({ length: 4 }, () => blobSeed(60_000));
      await each(async (index) => {
        const blobs = [blobSeed(2_000), ...shared.slice(index % 3)];
        for (const blob of blobs) await trial.client.pushBlob('layers', blob);
        await trial.client.putManifest('layers', `v${index}`, imageOf(blobs));
      });
      const { tags, violations } = await walk(trial.client);
      assert.deepEqual(violations, []);
      assert.ok(tags >= clients);
    }
  });

  test(`${clients} writers of one tag: all get 201, the tag is one of theirs, every manifest is there`, async () => {
    const blob = blobSeed(1_000);
    await trial.client.pushBlob('tagged', blob);
    const manifests = Array.from({ length: clients }, () => imageOf([blob]));
    await Promise.all(manifests.map((manifest) => trial.client.putManifest('tagged', 'latest', manifest)));
    const { headers } = await trial.client.manifest('tagged', 'latest');
    assert.ok(manifests.some(({ digest }) => digest === headers['docker-content-digest']));
    for (const { digest } of manifests) assert.ok(isWhole(await trial.client.manifest('tagged', digest), digest));
  });

  // DL-15: two requests on one upload both pass the offset check, or one lands after hashing.
  test('two requests on one upload: one wins, the other is told, the bytes are right', async () => {
    for (let round = 0; round < count(20, 500); round += 1) {
      const blob = blobSeed(300_000);
      const bytes = bytesOf(blob);
      const location = await trial.client.openUpload('raced', bytes.subarray(0, 100_000));
      const headers = { 'content-range': `100000-${bytes.length - 1}` };
      const patch = () => trial.client.call('PATCH', location, { body: bytes.subarray(100_000), headers });
      const end = () =>
        trial.client.call('PUT', `${location}?digest=${blob.digest}`, { body: bytes.subarray(100_000), headers });
      const answers = await Promise.all(round % 2 === 0 ? [patch(), patch()] : [patch(), end()]);
      assertNoFailure(answers, [201, 202, 404, 409, 416]);
      assert.ok(
        answers.some(({ status }) => status < 300),
        'none of the two went on',
      );
      if (answers.some(({ status }) => status === 201))
        assert.ok(isWhole(await trial.client.blob('raced', blob.digest), blob.digest));
      else {
        const moved = locationOf(await trial.client.expect(204, 'GET', location));
        await trial.client.expect(201, 'PUT', `${moved}?digest=${blob.digest}`);
        assert.ok(isWhole(await trial.client.blob('raced', blob.digest), blob.digest));
      }
    }
  });

  test('a blob deleted while it is mounted elsewhere is there whole or not at all', async () => {
    for (let round = 0; round < count(20, 500); round += 1) {
      const blob = blobSeed(5_000);
      await trial.client.pushBlob('source', blob);
      const [mount, remove] = await Promise.all([
        trial.client.call('POST', `/v2/target/blobs/uploads/?mount=${blob.digest}&from=source`),
        trial.client.call('DELETE', `/v2/source/blobs/${blob.digest}`),
      ]);
      assertNoFailure([mount, remove], [201, 202]);
      const answer = await trial.client.blob('target', blob.digest);
      if (mount.status === 201) assert.ok(isWhole(answer, blob.digest));
      else assert.equal(answer.status, 404);
    }
  });

  test('an image pushed while its blobs and manifests are deleted is whole or refused', async () => {
    const blob = blobSeed(5_000);
    for (let round = 0; round < count(20, 500); round += 1) {
      const manifest = imageOf([blob]);
      await trial.client.pushBlob('emptied', blob);
      const answers = await Promise.all([
        trial.client.call('PUT', '/v2/emptied/manifests/v1', {
          body: manifest.text,
          headers: { 'content-type': manifest.mediaType },
        }),
        trial.client.call('DELETE', `/v2/emptied/blobs/${blob.digest}`),
        trial.client.call('DELETE', `/v2/emptied/manifests/${manifest.digest}`),
      ]);
      assertNoFailure(answers, [201, 202, 400, 404, 405]);
      assert.deepEqual((await walk(trial.client)).violations, []);
    }
  });

  test('nothing is left behind', () => trial.verifyClean());
});

async function each(work: (index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: clients }, (_, index) => work(index)));
}

function assertNoFailure(answers: readonly Answer[], allowed: readonly number[]): void {
  for (const answer of answers) assert.ok(allowed.includes(answer.status), `${answer.status} ${answer.body}`);
}
