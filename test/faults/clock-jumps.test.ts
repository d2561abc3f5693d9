import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { type BlobSeed, blobSeed, bytesOf, imageOf } from './content.ts';
import { isWhole } from './registry-client.ts';
import { Trial } from './trial.ts';
import { walk } from './verify.ts';

/** Debian's package `libfaketime`. */
const library = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketimeMT.so.1`;

/** Times in libfaketime's notation. */
const jumps = [
  ['a day on', '+1d'],
  ['a day back', '-1d'],
  ['ten years on', '+10y'],
  ['to 1970', '@1970-01-02 00:00:00'],
  ['to the end of 32-bit time', '@2038-01-19 03:14:00'],
  ['back to now', '+0'],
] as const;

describe('F-12: a jump of the clock takes nothing away', () => {
  const folder = temporaryFolder('clock');
  const clock = join(folder.path, 'clock');
  let trial: Trial;
  before(async () => {
    assert.ok(existsSync(library), `the tests need ${library}: install it with "apt-get install libfaketime"`);
    writeFileSync(clock, '+0\n');
    trial = new Trial({
      env: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_CACHE_DURATION: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        NO_FAKE_STAT: '1',
      },
    });
    await trial.start();
  });
  after(async () => {
    await trial[Symbol.asyncDispose]();
    folder.remove();
  });

  for (const [name, time] of jumps) {
    test(`${name}: content stays, an open upload goes on, tokens are issued and hold`, async () => {
      const blob = blobSeed(200_000);
      await trial.client.pushBlob('clocked', blob);
      await trial.client.putManifest('clocked', name.replaceAll(' ', '-'), imageOf([blob]));
      const open = blobSeed(300_000);
      const location = await trial.client.openUpload('clocked', bytesOf(open).subarray(0, 100_000));
      writeFileSync(clock, `${time}\n`);
      // Past the cache of the library, and long enough for background work to see the new time.
      await sleep(2_500);
      assert.ok(trial.server.running);
      await finishUpload(location, open);
      assert.deepEqual((await walk(trial.client)).violations, []);
      await trial.client.pushBlob('clocked', blobSeed(1_000));
      await waitFor('a token is issued and holds', 60_000, async () => (await statusWithToken()) === 200);
      assert.equal((await trial.client.call('GET', '/readyz')).status, 200);
    });
  }

  test('background work is planned within its time again', async () => {
    await waitFor('no job waits for a far year', 60_000, () => {
      const database = new DatabaseSync(join(trial.dataFolder, 'berth.sqlite'), { readOnly: true, timeout: 5_000 });
      const row = database.prepare('select max(run_at) as latest from jobs').get();
      database.close();
      return Number(row?.latest) / 1000 < Date.now() + 24 * 3_600_000;
    });
  });

  test('the server starts and serves after all that', async () => {
    await trial.stop();
    await trial.start();
    assert.deepEqual((await walk(trial.client)).violations, []);
  });

  async function finishUpload(location: string, blob: BlobSeed): Promise<void> {
    const body = bytesOf(blob).subarray(100_000);
    await trial.client.expect(201, 'PUT', `${location}?digest=${blob.digest}`, { body });
    assert.ok(isWhole(await trial.client.blob('clocked', blob.digest), blob.digest));
  }

  async function statusWithToken(): Promise<number> {
    const { name, loginServer } = trial.server.bootstrap.registry;
    const path = `/oauth2/token?service=${loginServer}&scope=repository:clocked:pull&account=${name}`;
    const { body } = await trial.client.expect(200, 'GET', path);
    const { access_token: token } = tokenSchema.parse(JSON.parse(body.toString()));
    const headers = { authorization: `Bearer ${token}` };
    return (await trial.client.call('GET', '/v2/clocked/tags/list', { headers })).status;
  }
});

const tokenSchema = z.object({ access_token: z.string() });
