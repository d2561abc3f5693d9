import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { count } from './length.ts';
import { Trial } from './trial.ts';

const rounds = count(10, 100);

test(`F-01: ${rounds} kills at random moments lose nothing that was acknowledged`, async (t) => {
  await using trial = new Trial();
  await trial.start();
  for (let round = 1; round <= rounds; round += 1) {
    await trial.loadDuring(async (server) => {
      await sleep(randomInt(2_000));
      await server.kill();
    });
    await trial.start();
    if (round % 10 === 0) t.diagnostic(`round ${round}: ${JSON.stringify(await trial.verify())}`);
  }
  t.diagnostic(`ready after ${Math.round(Math.max(...trial.readyMs))} ms at most`);
  await trial.verifyClean();
});
