import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { closeSync, cpSync, openSync, readdirSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBerth } from '../support/berth-server.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed, bytesOf } from './content.ts';
import type { History } from './history.ts';
import { count } from './length.ts';
import { RegistryClient } from './registry-client.ts';
import { Trial } from './trial.ts';
import { walk } from './verify.ts';

const sector = 512;
const cuts = count(4, 60);

describe('F-05: a torn end of a file is survived', () => {
  let trial: Trial;
  /** An upload with 100,000 bytes stored. */
  let upload: string;
  before(async () => {
    trial = new Trial();
    await trial.start();
    upload = await trial.client.openUpload('torn', bytesOf(blobSeed(100_000)));
    await trial.loadDuring(async (server) => {
      await waitFor('there are tags', 60_000, () => taggedIn(trial.history) >= 5);
      await sleep(1_500);
      await server.kill();
    });
  });
  after(() => trial[Symbol.asyncDispose]());

  for (let cut = 0; cut < cuts; cut += 1) {
    test(`the write-ahead log cut off ${(cut + 1) * sector} bytes before its end`, async () => {
      await startsWhole((data) => {
        const wal = join(data, 'berth.sqlite-wal');
        truncateSync(wal, endOf(wal) - (cut + 1) * sector);
      });
    });
  }

  test('the last sectors of the write-ahead log garbled', () =>
    startsWhole((data) => {
      const wal = join(data, 'berth.sqlite-wal');
      garble(wal, endOf(wal), randomInt(1, 8) * sector);
    }));

  test('the index of the write-ahead log garbled', () =>
    startsWhole((data) => {
      const index = join(data, 'berth.sqlite-shm');
      garble(index, statSync(index).size, statSync(index).size);
    }));

  test('unfinished blobs cut short: their uploads are told so and a new push works', () =>
    startsWhole(
      (data) => {
        const incoming = join(data, 'blob-store/incoming');
        for (const file of readdirSync(incoming))
          truncateSync(join(incoming, file), Math.floor(statSync(join(incoming, file)).size / 2));
      },
      async (client) => {
        const answer = await client.call('PATCH', upload, { body: Buffer.alloc(10) });
        assert.ok(
          answer.status >= 400 && answer.status < 500,
          `the torn upload goes on: ${answer.status} ${answer.body}`,
        );
        await client.pushBlob('torn', blobSeed(100_000), 'chunks');
      },
    ));

  /** Starts a server on a copy of the killed server's folder and reads everything in it. */
  async function startsWhole(
    tear: (dataFolder: string) => void,
    then: (client: RegistryClient) => Promise<void> = async () => {},
  ): Promise<void> {
    const dataFolder = join(trial.folder, `copy-${randomBytes(4).toString('hex')}`);
    cpSync(trial.dataFolder, dataFolder, { recursive: true });
    tear(dataFolder);
    await using server = await startBerth({ dataFolder, database: 'sqlite' });
    const client = new RegistryClient(server.http, server.admin);
    const { tags, violations } = await walk(client);
    assert.deepEqual(violations, []);
    assert.ok(tags > 0);
    await then(client);
    client.close();
  }
});

function taggedIn(history: History): number {
  return history.entries().filter((entry) => entry.kind === 'push' && entry.outcome === 'ok' && entry.tag).length;
}

/** Behind what was written: the file is longer than that, in zeros. */
function endOf(wal: string): number {
  const bytes = readFileSync(wal);
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}

function garble(path: string, end: number, sizeBytes: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, randomBytes(sizeBytes), 0, sizeBytes, end - sizeBytes);
  closeSync(fd);
}
