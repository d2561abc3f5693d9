import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, tryRun } from '../support/run.ts';
import { waitFor } from '../support/wait-for.ts';
import { type BlobSeed, blobSeed, imageOf } from './content.ts';
import { Disk, MemoryDisk } from './disk.ts';
import { count } from './length.ts';
import { type Answer, isWhole } from './registry-client.ts';
import { Trial } from './trial.ts';

const recoveryMs = 5_000;
const bigBytes = 8_000_000;

test('F-06: a full disk refuses pushes with 507, serves pulls, and takes pushes again once there is space', async (t) => {
  await using disk = await MemoryDisk.create(96);
  await using trial = new Trial({ place: disk.path });
  await trial.start();
  const { manifest, blob } = await pushImage(trial);
  for (let round = 0; round < count(3, 30); round += 1) {
    let free = () => {};
    await trial.loadDuring(
      async () => {
        await sleep(200);
        trial.history.faultBegins({ isDoubtful: false });
        free = await disk.fill();
        await checkRefused(trial, 507);
        await checkServed(trial, manifest.digest, blob);
      },
      { pushers: 3, pullers: 2, deleters: 1, maxBlobBytes: 20_000 },
    );
    free();
    t.diagnostic(`pushes are taken ${Math.round(await untilPushed(trial))} ms after there is space`);
    trial.history.faultEnds();
    await trial.verify();
  }
  await trial.verifyClean();
});

test('F-07: a disk without inodes refuses pushes with 507 and recovers', async () => {
  await using disk = await Disk.create('ext4', 96, { make: ['-N', '2048'] });
  await using trial = new Trial({ place: disk.path });
  await trial.start();
  const { manifest, blob } = await pushImage(trial);
  const ballast = join(disk.path, 'ballast');
  mkdirSync(ballast);
  fillInodes(ballast);
  await checkRefused(trial, 507);
  await checkServed(trial, manifest.digest, blob);
  rmSync(ballast, { recursive: true });
  await untilPushed(trial);
  await trial.verifyClean();
});

test('F-07: without file descriptors the server refuses, lives on, and recovers', async () => {
  await using trial = new Trial();
  const server = await trial.start();
  const { manifest, blob } = await pushImage(trial);
  await run('prlimit', ['--pid', String(server.pid), '--nofile=128:128']);
  const sockets: Socket[] = [];
  for (let index = 0; index < 300; index += 1)
    sockets.push(connect(server.ports.http, '127.0.0.1').on('error', () => {}));
  await sleep(500);
  const answers = await Promise.allSettled(
    Array.from({ length: 20 }, () => trial.client.call('GET', `/v2/full/blobs/${blob.digest}`, { timeoutMs: 1_000 })),
  );
  for (const answer of answers)
    if (answer.status === 'fulfilled' && answer.value.status === 200) assert.ok(isWhole(answer.value, blob.digest));
  for (const socket of sockets) socket.destroy();
  await untilPushed(trial);
  await checkServed(trial, manifest.digest, blob);
  assert.ok(server.running);
});

test('F-07: a file beyond the size limit of the process is refused with 507', async () => {
  await using trial = new Trial();
  const server = await trial.start();
  const { manifest, blob } = await pushImage(trial);
  await run('prlimit', ['--pid', String(server.pid), `--fsize=${bigBytes - 1}`]);
  await checkRefused(trial, 507);
  await checkServed(trial, manifest.digest, blob);
  await untilPushed(trial);
  await trial.verifyClean();
});

test('F-08: a store that turns read-only refuses pushes with 503, serves every pull, says so, and recovers', async () => {
  await using disk = await Disk.create('ext4', 64);
  const blobs = join(disk.path, 'blobs');
  await using trial = new Trial({ settings: { blobs } });
  await trial.start();
  const { manifest, blob } = await pushImage(trial);
  await trial.loadDuring(
    async () => {
      await sleep(200);
      trial.history.faultBegins({ isDoubtful: false });
      // Refused while a file is open for writing, which is at most a moment.
      await waitFor('the disk is read-only', 60_000, async () => (await remount(disk, 'ro')) === 0);
      await checkRefused(trial, 503);
      await checkServed(trial, manifest.digest, blob);
      assert.equal((await trial.client.call('GET', '/readyz')).status, 503);
      await sleep(500);
      assert.equal(await remount(disk, 'rw'), 0);
      await untilPushed(trial);
      trial.history.faultEnds();
      assert.equal((await trial.client.call('GET', '/readyz')).status, 200);
    },
    { pushers: 3, pullers: 5, deleters: 1 },
  );
  await trial.verify();
});

async function remount(disk: Disk, mode: 'ro' | 'rw'): Promise<number> {
  return (await tryRun('mount', ['-o', `remount,${mode}`, disk.path])).code;
}

async function pushImage(trial: Trial) {
  const blob = blobSeed(200_000);
  const manifest = imageOf([blob]);
  await trial.client.pushBlob('full', blob);
  await trial.client.putManifest('full', 'v1', manifest);
  return { blob, manifest };
}

/** Each way to push is refused with this status and a body in the form of the surface. */
async function checkRefused(trial: Trial, status: number): Promise<void> {
  const { client } = trial;
  const uploads = '/v2/full/blobs/uploads/';
  const blob = blobSeed(bigBytes);
  const whole = await client.call('POST', `${uploads}?digest=${blob.digest}`, { body: Buffer.alloc(bigBytes) });
  assertRefused(whole, status);
  const session = await client.call('POST', uploads);
  if (session.status === 202)
    assertRefused(
      await client.call('PATCH', String(session.headers.location), { body: Buffer.alloc(bigBytes) }),
      status,
    );
}

function assertRefused(answer: Answer, status: number): void {
  assert.equal(answer.status, status, answer.body.toString());
  assert.match(answer.body.toString(), /^\{"errors":\[\{"code":"UNAVAILABLE"/);
}

async function checkServed(trial: Trial, digest: string, blob: BlobSeed): Promise<void> {
  assert.ok(isWhole(await trial.client.manifest('full', 'v1'), digest));
  assert.ok(isWhole(await trial.client.blob('full', blob.digest), blob.digest));
}

/** Resolves to the milliseconds until a push is taken. */
async function untilPushed(trial: Trial): Promise<number> {
  const startMs = performance.now();
  await waitFor('pushes are taken again', recoveryMs, async () => {
    const blob = blobSeed(1_000);
    await trial.client.pushBlob('full', blob, 'one request');
    await trial.client.putManifest('full', 'again', imageOf([blob]));
    return true;
  });
  return performance.now() - startMs;
}

function fillInodes(folder: string): void {
  for (let index = 0; ; index += 1) {
    try {
      writeFileSync(join(folder, String(index)), '');
    } catch {
      // No inode is left.
      return;
    }
  }
}
