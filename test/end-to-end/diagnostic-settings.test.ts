import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { auditRowSchema } from '../../src/wire/events/audit-schema.ts';
import { AzMachine, azReleases } from '../support/az-machine.ts';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Received, type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';

const registry = '/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local';
const accounts = '/resourceGroups/berth/providers/Microsoft.Storage/storageAccounts';
const recordsSchema = z.object({ records: z.array(auditRowSchema) });
type Row = z.infer<typeof auditRowSchema>;

/** Source: Microsoft.Insights/diagnosticSettings; ACR semantics, "Logs". */
describe('diagnostic settings', () => {
  const folder = temporaryFolder('diagnostics');
  const file = join(folder.path, 'logs/registry.jsonl');
  const lake = join(folder.path, 'lake');
  let isDown = false;
  const [taken, refused]: [Received[], Received[]] = [[], []];
  let receiver: WebhookReceiver;
  let server: BerthServer;
  let arm: AzRest;

  before(async () => {
    receiver = await webhookReceiver((each, response) => {
      (isDown ? refused : taken).push(each);
      response.statusCode = isDown ? 503 : 200;
      response.end();
    });
    const destinations = [`disk=file:${file}`, `siem=${receiver.url}`, `lake=store:${lake}`];
    server = await startBerth({
      settings: { 'outbound-allow': '127.0.0.0/8', 'log-destinations': destinations.join(',') },
      env: { BERTH_LOG_DESTINATION_TOKENS: 'siem=of-the-siem' },
    });
    arm = await azRest(server);
  });
  after(async () => {
    await server.remove();
    await receiver.close();
    folder.remove();
  });

  const pathOf = (name: string) =>
    `${arm.subscription}${registry}/providers/Microsoft.Insights/diagnosticSettings/${name}`;
  const both = [{ categoryGroup: 'allLogs', enabled: true }];
  const set = async (name: string, destination: string, logs: readonly object[] = both) => {
    const storageAccountId = `${arm.subscription}${accounts}/${destination}`;
    await arm.done('PUT', pathOf(name), { properties: { storageAccountId, logs } });
  };
  const rowsIn = (text: string): Row[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => auditRowSchema.parse(JSON.parse(line)));
  const inFile = () => (existsSync(file) ? rowsIn(readFileSync(file, 'utf8')) : []);
  const received = () => taken.flatMap(({ body }) => recordsSchema.parse(JSON.parse(body)).records);
  const inLake = () =>
    existsSync(join(lake, 'notes'))
      ? readdirSync(join(lake, 'notes')).flatMap((name) => rowsIn(readFileSync(join(lake, 'notes', name), 'utf8')))
      : [];
  const has = (rows: readonly Row[], operation: string, tag: string) =>
    rows.some(({ OperationName, Tag }) => OperationName === operation && Tag === tag);

  test('what happens is sent to a file, an address and a store; nothing that was before', async () => {
    await pushSample(server, 'team/app', platformImage('before'), 'before');
    await set('disk', 'disk');
    await set('siem', 'siem', [{ category: 'ContainerRegistryRepositoryEvents', enabled: true }]);
    await set('lake', 'lake');
    await pushSample(server, 'team/app', platformImage('after'), 'after');
    await asAdmin(server, 'GET', '/v2/team/app/manifests/after');
    for (const rows of [inFile, received, inLake])
      await waitFor(
        'push and pull are there',
        120_000,
        () => has(rows(), 'Push', 'after') && has(rows(), 'Pull', 'after'),
      );
    for (const rows of [inFile(), received(), inLake()]) assert(!rows.some(({ Tag }) => Tag === 'before'));
    assert(received().every(({ Category }) => Category === 'ContainerRegistryRepositoryEvents'));
    assert(receiver.received.every(({ headers }) => headers.authorization === 'Bearer of-the-siem'));
  });

  test('nothing is lost while a destination is down, nor by a kill', async () => {
    isDown = true;
    await pushSample(server, 'team/app', platformImage('down'), 'down');
    await waitFor('an attempt fails', 120_000, () => refused.length > 0);
    await pushSample(server, 'team/app', platformImage('killed'), 'killed');
    await server.kill();
    server = await startBerth(server.again);
    isDown = false;
    for (const rows of [inFile, received, inLake])
      await waitFor(
        'both pushes are there',
        120_000,
        () => has(rows(), 'Push', 'down') && has(rows(), 'Push', 'killed'),
      );
    const ids = received().map(({ Id }) => Id);
    assert(ids.length >= new Set(ids).size);
  });

  test('what cannot be sent is refused, with the destinations there are', async () => {
    const refusals: readonly [object, RegExp][] = [
      [{ logs: both }, /no destination.*disk, siem, lake/],
      [{ storageAccountId: `${accounts}/nowhere`, logs: both }, /'nowhere' does not exist.*disk, siem, lake/],
      [{ eventHubAuthorizationRuleId: '/x', logs: both }, /no event hubs/],
      [
        { storageAccountId: `${accounts}/disk`, metrics: [{ category: 'AllMetrics', enabled: true }] },
        /Metrics are not sent/,
      ],
      [{ storageAccountId: `${accounts}/disk`, logs: [{ category: 'Nope', enabled: true }] }, /Category 'Nope'/],
    ];
    for (const [properties, pattern] of refusals) {
      const answer = await arm.send('PUT', pathOf('wrong'), { properties });
      assert.equal(answer.status, 400);
      assert.match(await answer.text(), pattern);
    }
  });

  for (const release of azReleases)
    test(`az ${release.version} makes, shows, lists, changes and deletes one`, async () => {
      const az = await AzMachine.setUp(server, release, join(folder.path, release.version));
      const id = `${arm.subscription}${registry}`;
      const on = `--name ours --resource ${id}`;
      const logs = `--logs '[{"category":"ContainerRegistryLoginEvents","enabled":true}]'`;
      const account = `--storage-account ${arm.subscription}${accounts}/disk`;
      const made = z.looseObject({ name: z.literal('ours'), storageAccountId: z.string().endsWith('/disk') });
      made.parse(await az.json(`az monitor diagnostic-settings create ${on} ${logs} ${account}`));
      made.parse(await az.json(`az monitor diagnostic-settings show ${on}`));
      assert.match(await az.type(`az monitor diagnostic-settings list --resource ${id}`), /"ours"/);
      const change = `az monitor diagnostic-settings update ${on} --set 'logs[0].enabled=false'`;
      assert.match(await az.type(change), /"enabled": false/);
      await az.type(`az monitor diagnostic-settings delete ${on}`);
      assert.doesNotMatch(await az.type(`az monitor diagnostic-settings list --resource ${id}`), /"ours"/);
      assert.match(
        await az.type(`az monitor diagnostic-settings categories list --resource ${id}`),
        /ContainerRegistryRepositoryEvents/,
      );
    });
});
