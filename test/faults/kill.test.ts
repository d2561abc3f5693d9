import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../support/wait-for.ts';
import { webhookReceiver } from '../support/webhook-receiver.ts';
import { count } from './length.ts';
import { untold } from './told-once.ts';
import { Trial } from './trial.ts';
import { makeWebhooks } from './webhooks.ts';

const rounds = count(10, 100);
const deliveryMs = 300_000;

test(`F-01: ${rounds} kills at random moments lose nothing that was acknowledged, and each push is told under one id`, async (t) => {
  const receiver = await webhookReceiver();
  t.after(receiver.close);
  await using trial = new Trial({ settings: { 'outbound-allow': '127.0.0.0/8' } });
  await makeWebhooks(await trial.start(), [receiver.url]);
  for (let round = 1; round <= rounds; round += 1) {
    await trial.loadDuring(async (server) => {
      await sleep(randomInt(2_000));
      await server.kill();
    });
    await trial.start();
    if (round % 10 === 0) t.diagnostic(`round ${round}: ${JSON.stringify(await trial.verify())}`);
  }
  t.diagnostic(`ready after ${Math.round(Math.max(...trial.readyMs))} ms at most`);
  await waitFor('every push is told', deliveryMs, () => {
    assert.deepEqual(untold(trial.history, receiver.received), []);
    return true;
  });
  await trial.verifyClean();
});
