import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBerth } from '../support/berth-server.ts';
import { blobSeed } from './content.ts';
import { Trial } from './trial.ts';

const states = ['runs', 'is paused'] as const;

for (const state of states) {
  test(`F-14: a second server on a data folder refuses, naming the holder, while the first ${state}`, async () => {
    await using trial = new Trial();
    const first = await trial.start();
    if (state === 'is paused') first.signal('SIGSTOP');
    try {
      await assert.rejects(startBerth({ dataFolder: trial.dataFolder, database: 'sqlite' }), (error) => {
        assert.match(String(error), new RegExp(`in use by the process ${first.pid}; stop it first`));
        return true;
      });
    } finally {
      first.signal('SIGCONT');
    }
    await trial.client.pushBlob('holder', blobSeed(1_000));
    await trial.verifyClean();
  });
}

test('F-14: the folder is free once its holder was killed', async () => {
  await using trial = new Trial();
  const first = await trial.start();
  await first.kill();
  await trial.start();
  await trial.client.pushBlob('holder', blobSeed(1_000));
});
