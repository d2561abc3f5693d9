import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageWatch } from '../../bench/server-usage.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Received, webhookReceiver } from '../support/webhook-receiver.ts';
import { count } from './length.ts';
import { makeWebhooks, pushTags } from './webhooks.ts';

const settings = { 'outbound-allow': '127.0.0.0/8' };
const kills = count(4, 20);
const contentOf = ({ body }: Received): { id: string; target: { tag: string } } => JSON.parse(body);

test(`F-21: ${kills} kills amid deliveries to a slow and to a failing receiver: none lost, repeats have the same id`, async (t) => {
  let isDown = true;
  const slow = await webhookReceiver(async () => await sleep(5));
  const failing = await webhookReceiver((_received, response) => {
    if (isDown) response.writeHead(500).end();
  });
  const first = await startBerth({ settings });
  let server: BerthServer = first;
  try {
    await makeWebhooks(server, [slow.url, failing.url]);
    const tags = Array.from({ length: kills * 100 }, (_, index) => `v${index}`);
    for (let round = 0; round < kills; round += 1) {
      await pushTags(server, tags.slice(round * 100, (round + 1) * 100));
      await sleep(50 * round);
      await server.kill();
      server = await startBerth(server.again);
    }
    isDown = false;
    for (const { received } of [slow, failing]) {
      const told = () => new Set(received.map((each) => contentOf(each).target.tag));
      await waitFor('every push is told', 120_000, () => told().size === tags.length);
      const byId = Map.groupBy(received.map(contentOf), ({ id }) => id);
      assert.equal(byId.size, tags.length);
      t.diagnostic(`${received.length - tags.length} of ${received.length} requests were repeats`);
    }
  } finally {
    await server.stop();
    await first.remove();
    await slow.close();
    await failing.close();
  }
});

test('L-17: with 1,000 events waiting for a dead receiver pushes go on, and memory does not grow with what waits', async (t) => {
  const dead = await webhookReceiver();
  await dead.close();
  await using server = await startBerth({ settings });
  const tagsOf = (prefix: string, length: number) => Array.from({ length }, (_, index) => `${prefix}${index}`);
  // Before, so that what the server needs for pushes at all is there.
  await pushTags(server, tagsOf('warm', 500));
  await makeWebhooks(server, [dead.url, dead.url]);
  await pushTags(server, tagsOf('first', 200));
  const watch = new UsageWatch(server.pid);
  await pushTags(server, tagsOf('waiting', 1_000));
  const { rssGrowthBytes } = watch.stop();
  t.diagnostic(`memory grew by ${(rssGrowthBytes / 1024 ** 2).toFixed(1)} MiB`);
  // 16 MiB is the goal beside what pushes themselves need between two collections of garbage.
  assert.ok(rssGrowthBytes < 32 * 1024 ** 2, `${rssGrowthBytes} bytes`);
});
