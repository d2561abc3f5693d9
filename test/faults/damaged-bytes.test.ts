import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { type BlobSeed, blobSeed, bytesOf, imageOf, sha256 } from './content.ts';
import { blobPath, storageKeys } from './leftovers.ts';
import { count } from './length.ts';
import type { Answer } from './registry-client.ts';
import { Trial } from './trial.ts';

const flips = count(60, 1_000);
const repository = 'damaged';

describe('F-10, F-11: damaged content is never answered as good', () => {
  let trial: Trial;
  before(async () => {
    trial = new Trial();
    await trial.start();
  });
  after(() => trial[Symbol.asyncDispose]());

  test(`one bit flipped in each of ${flips} blobs is found, set aside, and healed by a push`, async () => {
    for (let round = 0; round < flips; round += 1) {
      const blob = blobSeed(randomInt(1, round % 10 === 0 ? 3_500_000 : 100_000));
      await trial.client.pushBlob(repository, blob);
      flipBit(pathOf(blob));
      await checkFoundAndHealed(blob);
    }
  });

  test('a range over damaged bytes is not answered, one beside them is', async () => {
    const blob = blobSeed(3 * 1024 * 1024);
    await trial.client.pushBlob(repository, blob);
    flipBit(pathOf(blob), 2.5 * 1024 * 1024);
    const range = (text: string) => get(blob, { range: `bytes=${text}` });
    assert.deepEqual((await range('100-199'))?.body, bytesOf(blob).subarray(100, 200));
    const wrong = await range('2621000-2622000');
    assert.notEqual(wrong?.status, 206);
    assert.equal((await trial.client.call('HEAD', blobUrl(blob))).status, 404);
  });

  const damages: readonly (readonly [name: string, damage: (path: string, blob: BlobSeed) => void])[] = [
    ['missing', (path) => rmSync(path)],
    ['empty', (path) => truncateSync(path, 0)],
    ['cut short', (path, blob) => truncateSync(path, blob.sizeBytes - 1)],
    ['cut at a block', (path) => truncateSync(path, 1024 * 1024)],
    ['all zeros', (path, blob) => writeFileSync(path, Buffer.alloc(blob.sizeBytes))],
    ['another of the same size', (path, blob) => writeFileSync(path, bytesOf(blobSeed(blob.sizeBytes)))],
  ];
  for (const [name, damage] of damages) {
    test(`${name === 'missing' ? 'DL-09: ' : ''}a stored file that is ${name} is found, set aside, and healed by a push`, async () => {
      const blob = blobSeed(2_000_000);
      await trial.client.pushBlob(repository, blob);
      damage(pathOf(blob), blob);
      await checkFoundAndHealed(blob);
    });
  }

  test('two stored files that were exchanged are both found', async () => {
    const pair = [blobSeed(200_000), blobSeed(200_000)] as const;
    for (const blob of pair) await trial.client.pushBlob(repository, blob);
    const [one, other] = [pathOf(pair[0]), pathOf(pair[1])];
    renameSync(one, `${one}.aside`);
    renameSync(other, one);
    renameSync(`${one}.aside`, other);
    for (const blob of pair) await checkFoundAndHealed(blob);
  });

  test('DL-06: a push of the same content heals damage that no reader met', async () => {
    const blob = blobSeed(300_000);
    await trial.client.pushBlob(repository, blob);
    flipBit(pathOf(blob));
    await trial.client.pushBlob('damaged-elsewhere', blob);
    assert.deepEqual((await get(blob))?.body, bytesOf(blob));
  });

  test('a manifest whose stored bytes changed is not answered as good, and healed by a push', async () => {
    const blob = blobSeed(100);
    await trial.client.pushBlob(repository, blob);
    for (let round = 0; round < count(10, 200); round += 1) {
      const manifest = imageOf([blob]);
      await trial.client.putManifest(repository, 'v1', manifest);
      flipBitOfManifest(manifest.digest);
      for (const reference of ['v1', manifest.digest]) {
        const answer = await trial.client.manifest(repository, reference);
        assert.ok(
          answer.status !== 200 || sha256(answer.body) === manifest.digest,
          `${reference} is answered ${answer.status} with other bytes`,
        );
      }
      await trial.client.putManifest(repository, 'v1', manifest);
      assert.equal((await trial.client.manifest(repository, 'v1')).body.toString(), manifest.text);
    }
  });

  /** Undefined when the answer ended short. */
  async function get(blob: BlobSeed, headers = {}): Promise<Answer | undefined> {
    try {
      return await trial.client.call('GET', blobUrl(blob), { headers });
    } catch {
      return undefined;
    }
  }

  async function checkFoundAndHealed(blob: BlobSeed): Promise<void> {
    const answer = await get(blob);
    assert.notEqual(answer?.status, 200, 'wrong bytes were answered as good');
    assert.equal((await trial.client.call('HEAD', blobUrl(blob))).status, 404, 'the damaged blob was not set aside');
    await trial.client.pushBlob(repository, blob);
    assert.deepEqual((await get(blob))?.body, bytesOf(blob));
  }

  function blobUrl({ digest }: BlobSeed): string {
    return `/v2/${repository}/blobs/${digest}`;
  }

  function pathOf({ digest }: BlobSeed): string {
    return blobPath(trial.dataFolder, storageKeys(trial.dataFolder).get(digest) ?? '');
  }

  function flipBitOfManifest(digest: string): void {
    const database = new DatabaseSync(join(trial.dataFolder, 'berth.sqlite'), { timeout: 5_000 });
    const row = database.prepare('select body from manifests where digest = ?').get(digest);
    const body = Buffer.from(row?.body instanceof Uint8Array ? row.body : []);
    flip(body, randomInt(body.length));
    database.prepare('update manifests set body = ? where digest = ?').run(body, digest);
    database.close();
  }
});

/** At a byte, or anywhere. */
function flipBit(path: string, at?: number): void {
  const fd = openSync(path, 'r+');
  const position = at ?? randomInt(readFileSync(path).length);
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, position);
  flip(byte, 0);
  writeSync(fd, byte, 0, 1, position);
  closeSync(fd);
}

function flip(bytes: Buffer, position: number): void {
  bytes.writeUInt8(bytes.readUInt8(position) ^ (1 << randomInt(8)), position);
}
