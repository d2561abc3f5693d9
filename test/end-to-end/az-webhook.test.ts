import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { newestAz, newestAzVersion } from '../support/az-newest.ts';
import { azSetUp } from '../support/az-set-up.ts';
import { waitFor } from '../support/wait-for.ts';
import { type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';
import { useWorkbench } from './workbench.ts';

const contentSchema = z.strictObject({
  id: z.guid(),
  timestamp: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/),
  action: z.enum(['push', 'delete', 'ping']),
  target: z
    .strictObject({
      mediaType: z.string(),
      size: z.int().optional(),
      digest: z.string(),
      length: z.int().optional(),
      repository: z.literal('demo/app'),
      tag: z.string().optional(),
    })
    .optional(),
  request: z
    .strictObject({ id: z.guid(), host: z.string(), method: z.enum(['PUT', 'DELETE']), useragent: z.string() })
    .optional(),
});

/** What tutorials type; both ends of the range of Azure CLIs. Source: az wire document, 2.12. */
for (const version of ['2.45', newestAzVersion]) {
  describe(`az ${version}: webhooks`, () => {
    const bench = useWorkbench({ settings: { 'outbound-allow': '127.0.0.0/8' } });
    const environment: Record<string, string> = { AZURE_CORE_COLLECT_TELEMETRY: 'no', AZURE_CORE_NO_COLOR: 'true' };
    let receiver: WebhookReceiver;
    let host = '';

    const type = async (line: string) => await bench().run('sh', ['-euc', line], { env: environment });
    const refused = async (line: string) => await bench().fail('sh', ['-euc', line], { env: environment });
    const json = async (line: string): Promise<unknown> => JSON.parse(await type(`${line} -o json`));
    const push = async (tag: string) => {
      const { username, password, certificates } = bench();
      await bench().run('skopeo', [
        ...['copy', '--dest-cert-dir', certificates, '--dest-creds', `${username}:${password}`],
        ...['oci:samples:app', `docker://${host}/demo/app:${tag}`],
      ]);
    };
    const arrived = async (count: number) => {
      await waitFor(`${count} deliveries`, 120_000, () => receiver.received.length >= count);
      return receiver.received.map(({ body }) => contentSchema.parse(JSON.parse(body)));
    };

    before(async () => {
      const { server, folder } = bench();
      if (version === newestAzVersion) environment.PATH = `${await newestAz()}:${process.env.PATH}`;
      environment.AZURE_CONFIG_DIR = join(folder, 'az');
      environment.REQUESTS_CA_BUNDLE = (await type(azSetUp(server))).trim();
      host = bench().named.host;
      receiver = await webhookReceiver();
    });
    after(() => receiver.close());

    test('create, show, list, get-config: the address and headers are shown on request only', async () => {
      const created = z.looseObject({
        name: z.literal('buildkick'),
        status: z.literal('enabled'),
        scope: z.literal('demo/app:*'),
        actions: z.tuple([z.literal('push'), z.literal('delete')]),
        provisioningState: z.literal('Succeeded'),
        serviceUri: z.undefined().optional(),
        customHeaders: z.undefined().optional(),
      });
      const uri = `--uri ${receiver.url}/hook --headers Authorization="Bearer s3cret" X-Team=a`;
      created.parse(
        await json(`az acr webhook create -r local -n buildkick ${uri} --actions push delete --scope 'demo/app:*'`),
      );
      created.parse(await json('az acr webhook show -r local -n buildkick'));
      assert.deepEqual(await json('az acr webhook list -r local --query [].name'), ['buildkick']);
      const config = z.looseObject({
        serviceUri: z.literal(`${receiver.url}/hook`),
        customHeaders: z.object({ Authorization: z.literal('Bearer s3cret'), 'X-Team': z.literal('a') }),
      });
      config.parse(await json('az acr webhook get-config -r local -n buildkick'));
      assert.match(await type('az acr show-usage -n local -o table'), /Webhooks +500 +1 +Count/);
    });

    test('a ping arrives', async () => {
      const { id } = z.object({ id: z.guid() }).parse(await json('az acr webhook ping -r local -n buildkick'));
      const [ping] = await arrived(1);
      assert.deepEqual([ping?.action, ping?.id], ['ping', id]);
    });

    test("a push arrives as Azure's services write it, signed", async () => {
      await push('v1');
      const [, pushed] = await arrived(2);
      assert.deepEqual([pushed?.action, pushed?.target?.tag, pushed?.request?.host], ['push', 'v1', host]);
      assert.equal(pushed?.target?.size, pushed?.target?.length);
      assert.equal(pushed?.target?.digest, (await bench().manifest('demo/app', 'v1'))?.digest);
      const { headers, body = '' } = receiver.received[1] ?? {};
      assert.equal(headers?.authorization, 'Bearer s3cret');
      assert.equal(headers?.['content-type'], 'application/json');
      assert.equal(headers?.['webhook-id'], pushed?.id);
      const key = await signingKey();
      const signed = `${headers?.['webhook-id']}.${headers?.['webhook-timestamp']}.${body}`;
      const expected = createHmac('sha256', Buffer.from(key, 'base64')).update(signed).digest('base64');
      assert.equal(headers?.['webhook-signature'], `v1,${expected}`);
    });

    test('untagging is told to nobody, a deleted manifest is', async () => {
      const digest = (await bench().manifest('demo/app', 'v1'))?.digest ?? '';
      assert.equal((await bench().request('DELETE', '/v2/demo/app/manifests/v1')).status, 202);
      assert.equal((await bench().request('DELETE', `/v2/demo/app/manifests/${digest}`)).status, 202);
      const [, , deleted] = await arrived(3);
      assert.deepEqual([deleted?.action, deleted?.target?.digest], ['delete', digest]);
      assert.equal(deleted?.target?.size, undefined);
      assert.equal(receiver.received.length, 3);
    });

    test('list-events shows request and answer, without the secrets', async () => {
      const events = z.array(
        z.looseObject({
          id: z.guid(),
          eventRequestMessage: z.looseObject({
            content: z.looseObject({ action: z.string() }),
            method: z.literal('POST'),
          }),
          eventResponseMessage: z.looseObject({ statusCode: z.literal('200'), content: z.literal('thanks') }),
        }),
      );
      const text = await type('az acr webhook list-events -r local -n buildkick -o json');
      const actions = events.parse(JSON.parse(text)).map((each) => each.eventRequestMessage.content.action);
      assert.deepEqual(actions, ['delete', 'push', 'ping']);
      assert.doesNotMatch(text, /s3cret/);
      assert.match(await type('az acr webhook list-events -r local -n buildkick -o table'), /push/);
    });

    test('update changes what is given and nothing else; a disabled one is not called', async () => {
      const updated = await json(`az acr webhook update -r local -n buildkick --status disabled --actions push`);
      z.looseObject({ status: z.literal('disabled'), scope: z.literal('demo/app:*') }).parse(updated);
      await push('v2');
      await json('az acr webhook update -r local -n buildkick --status enabled');
      await push('v3');
      const contents = await arrived(4);
      assert.deepEqual(
        contents.slice(3).map((each) => each.target?.tag),
        ['v3'],
      );
      assert.equal(receiver.received[3]?.headers.authorization, 'Bearer s3cret');
    });

    test('what is wrong is refused with words that help, and delete ends it', async () => {
      const create = (more: string) => `az acr webhook create -r local ${more}`;
      assert.match(await refused(create('-n oops1 --uri ftp://a.test --actions push')), /serviceUri/);
      assert.match(await refused(create(`-n oops1 --uri ${receiver.url} --actions push --scope 'A b'`)), /scope/);
      assert.match(await refused(create(`-n oops1 --uri ${receiver.url} --actions push --headers Host=x`)), /header/);
      await type('az acr webhook delete -r local -n buildkick');
      assert.deepEqual(await json('az acr webhook list -r local'), []);
    });

    async function signingKey(): Promise<string> {
      const { bootstrap } = bench().server;
      const resource = `/subscriptions/${bootstrap.subscriptionId}/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local/webhooks/buildkick`;
      const answer = await json(`az rest --method post --url '${resource}/getCallbackConfig?api-version=2025-04-01'`);
      return z.looseObject({ signingKey: z.string() }).parse(answer).signingKey.replace('whsec_', '');
    }
  });
}
