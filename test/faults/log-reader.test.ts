import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobSeed, imageOf } from './content.ts';
import { Trial } from './trial.ts';

const requests = 4_000;

test('F-32: a log on a full disk does not stop the service', async () => {
  using folder = temporaryFolder('log');
  await using trial = await startLoggingTo(folder.path, '/dev/full');
  await checkServes(trial);
});

test('F-32: a log reader that stalls does not stop the service', async () => {
  using folder = temporaryFolder('log');
  const { pipe, reader } = await stalledReader(folder.path);
  try {
    await using trial = await startLoggingTo(folder.path, pipe);
    await checkServes(trial);
  } finally {
    reader.kill();
  }
});

test('F-32: a log reader that dies does not stop the service', async () => {
  using folder = temporaryFolder('log');
  const { pipe, reader } = await stalledReader(folder.path);
  try {
    await using trial = await startLoggingTo(folder.path, pipe);
    reader.kill('SIGKILL');
    await once(reader, 'exit');
    await checkServes(trial);
  } finally {
    reader.kill();
  }
});

/** Starts a server whose standard output and standard error go to a file or pipe. */
async function startLoggingTo(folder: string, target: string): Promise<Trial> {
  const program = join(folder, 'berth');
  const berth = process.env.BERTH_TEST_PROGRAM ?? join(import.meta.dirname, '../../bin/berth');
  writeFileSync(program, `#!/bin/sh\nexec "${berth}" "$@" >"${target}" 2>&1\n`);
  chmodSync(program, 0o700);
  const before = process.env.BERTH_TEST_PROGRAM;
  process.env.BERTH_TEST_PROGRAM = program;
  const trial = new Trial({ settings: { 'log-level': 'debug' } });
  try {
    await trial.start();
    return trial;
  } catch (error) {
    await trial[Symbol.asyncDispose]();
    throw error;
  } finally {
    if (before === undefined) delete process.env.BERTH_TEST_PROGRAM;
    else process.env.BERTH_TEST_PROGRAM = before;
  }
}

/** A pipe that somebody holds open and never reads. */
async function stalledReader(folder: string) {
  const pipe = join(folder, 'pipe');
  await run('mkfifo', [pipe]);
  const reader = spawn('sh', ['-c', 'exec sleep 300 <"$0"', pipe], { stdio: 'ignore' });
  await once(reader, 'spawn');
  return { pipe, reader };
}

/** Enough requests to fill the pipe and the server's own buffer many times. */
async function checkServes(trial: Trial): Promise<void> {
  const blob = blobSeed(1_000);
  await trial.client.pushBlob('logged', blob);
  await trial.client.putManifest('logged', 'v1', imageOf([blob]));
  const client = async () => {
    for (let request = 0; request < requests / 8; request += 1)
      await trial.client.expect(200, 'GET', '/v2/logged/manifests/v1');
  };
  await Promise.all(Array.from({ length: 8 }, client));
  assert.ok(trial.server.running);
  assert.equal(await trial.server.stop(), 0);
}
