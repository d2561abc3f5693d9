import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageWatch } from '../../bench/server-usage.ts';
import { asInstalled } from '../support/as-installed.ts';
import { azRest } from '../support/az-rest.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Received, webhookReceiver } from '../support/webhook-receiver.ts';
import { count } from './length.ts';
import { changeWebhook, makeWebhooks, pushTags } from './webhooks.ts';

const settings = { 'outbound-allow': '127.0.0.0/8' };
const registry = '/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local';
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
    // The longer it has failed, the longer it waits until it is tried again.
    await changeWebhook(server, 1);
    for (const { received } of [slow, failing]) {
      const told = () => new Set(received.map((each) => contentOf(each).target.tag));
      await waitFor('every push is told', 300_000, () => told().size === tags.length);
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

test('L-17: with 1,000 events waiting for each of 20 dead receivers pushes go on, and memory does not grow with what waits', async (t) => {
  const dead = await webhookReceiver();
  await dead.close();
  await using server = await startBerth({ settings, env: asInstalled });
  const tagsOf = (prefix: string, length: number) => Array.from({ length }, (_, index) => `${prefix}${index}`);
  const using = async (prefix: string) => {
    const watch = new UsageWatch(server.pid);
    await pushTags(server, tagsOf(prefix, 1_000));
    return watch.stop();
  };
  await makeWebhooks(
    server,
    Array.from({ length: 20 }, () => dead.url),
  );
  const arm = await azRest(server);
  const turn = async (status: 'enabled' | 'disabled') => {
    for (let index = 0; index < 20; index += 1)
      await arm.done('PATCH', `${arm.subscription}${registry}/webhooks/hook${100 + index}`, { properties: { status } });
  };
  await turn('disabled');
  await pushTags(server, tagsOf('warm', 500));
  // What the server needs for pushes at all, between two collections of garbage.
  const alone = await using('alone');
  await turn('enabled');
  await pushTags(server, tagsOf('first', 200));
  const waiting = await using('waiting');
  const MiB = 1024 ** 2;
  const more = (waiting.peakRssBytes - alone.peakRssBytes) / MiB;
  const growth = waiting.rssGrowthBytes / MiB;
  t.diagnostic(`${more.toFixed(1)} MiB more at most than without webhooks; memory grew by ${growth.toFixed(1)} MiB`);
  assert.ok(more <= 16, `${more} MiB more`);
  assert.ok(growth < 32, `${growth} MiB`);
});
