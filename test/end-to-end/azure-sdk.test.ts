import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { ClientSecretCredential } from '@azure/identity';
import { ContainerRegistryManagementClient as Client10 } from 'arm-containerregistry-10';
import { ContainerRegistryManagementClient as Client12 } from 'arm-containerregistry-12';
import { azRest } from '../support/az-rest.ts';
import type { BerthServer } from '../support/berth-server.ts';
import { useWorkbench } from './workbench.ts';

/** Under the names that package.json gives them: Azure's own package in two major versions. */
const versions = { '10.1.0': connect10, '12.0.0': connect12 };

for (const [version, connect] of Object.entries(versions)) {
  describe(`@azure/arm-containerregistry ${version}`, () => {
    const bench = useWorkbench();
    const group = 'sdk';
    const name = 'contoso';
    const registries = () => connect(bench().server).registries;

    before(async () => {
      const rest = await azRest(bench().server);
      await rest.done('PUT', `${rest.subscription}/resourcegroups/${group}`, { location: 'eastus' });
    });

    test('a registry is made, read, changed, listed and deleted, and its name is free again', async () => {
      const check = { name, type: 'Microsoft.ContainerRegistry/registries' } as const;
      assert.equal((await registries().checkNameAvailability(check)).nameAvailable, true);
      const made = await registries().beginCreateAndWait(group, name, {
        location: 'eastus',
        sku: { name: 'Premium' },
        adminUserEnabled: true,
        tags: { env: 'dev' },
      });
      assert.equal(made.id, (await registries().get(group, name)).id);
      assert.deepEqual([made.provisioningState, made.sku?.tier, made.tags], ['Succeeded', 'Premium', { env: 'dev' }]);
      assert.equal(made.loginServer, bench().named.host.replace(/^local\./, `${name}.`));
      assert.ok(made.creationDate instanceof Date && made.systemData?.createdAt instanceof Date);
      assert.equal(made.policies?.retentionPolicy?.days, 7);
      const taken = await registries().checkNameAvailability(check);
      assert.deepEqual([taken.nameAvailable, taken.reason], [false, 'AlreadyExists']);

      const changed = await registries().beginUpdateAndWait(group, name, {
        tags: { team: 'a' },
        policies: { retentionPolicy: { status: 'enabled', days: 12 } },
        networkRuleSet: { defaultAction: 'Deny', ipRules: [{ iPAddressOrRange: '203.0.113.0/24', action: 'Allow' }] },
        identity: { type: 'SystemAssigned' },
      });
      assert.deepEqual([changed.tags, changed.adminUserEnabled], [{ team: 'a' }, true]);
      assert.equal(changed.policies?.retentionPolicy?.days, 12);
      assert.equal(changed.networkRuleSet?.ipRules?.[0]?.iPAddressOrRange, '203.0.113.0/24');
      assert.match(changed.identity?.principalId ?? '', /^[0-9a-f-]{36}$/);

      assert.deepEqual(await namesOf(registries().listByResourceGroup(group)), [name]);
      assert.deepEqual((await namesOf(registries().list())).sort(), [name, 'local']);
      const usages = await registries().listUsages(group, name);
      const size = usages.value?.find((each) => each.name === 'Size');
      assert.deepEqual([size?.currentValue, size?.unit], [0, 'Bytes']);
      const links = await namesOf(registries().listPrivateLinkResources(group, name));
      assert.deepEqual(links, ['registry']);

      await registries().beginDeleteAndWait(group, name);
      assert.deepEqual(await namesOf(registries().listByResourceGroup(group)), []);
      assert.equal((await registries().checkNameAvailability(check)).nameAvailable, true);
    });

    test('passwords of the admin user are listed and made anew one by one', async () => {
      await registries().beginCreateAndWait(group, 'secrets', {
        location: 'eastus',
        sku: { name: 'Basic' },
        adminUserEnabled: true,
      });
      const before = await registries().listCredentials(group, 'secrets');
      assert.equal(before.username, 'secrets');
      const after = await registries().regenerateCredential(group, 'secrets', { name: 'password2' });
      const [first, second] = [before.passwords, after.passwords];
      assert.equal(second?.[0]?.value, first?.[0]?.value);
      assert.notEqual(second?.[1]?.value, first?.[1]?.value);
      await registries().beginUpdateAndWait(group, 'secrets', { adminUserEnabled: false });
      await assert.rejects(registries().listCredentials(group, 'secrets'), { statusCode: 400 });
    });

    test('a poller is looked at until its operation has ended', async () => {
      await registries().beginCreateAndWait(group, 'polled', { location: 'eastus', sku: { name: 'Basic' } });
      const poller = await registries().beginDelete(group, 'polled');
      await poller.pollUntilDone();
      assert.equal(poller.getOperationState().status, 'succeeded');
      await assert.rejects(registries().get(group, 'polled'), { code: 'ResourceNotFound' });
      await registries().beginDeleteAndWait(group, 'polled');
    });

    test('errors have the code and status of the resource manager', async () => {
      const create = async (registry: string, more: object = {}, at = group) =>
        await registries().beginCreateAndWait(at, registry, { location: 'eastus', sku: { name: 'Basic' }, ...more });
      const failures: readonly [string, () => Promise<unknown>, object][] = [
        ['no such registry', () => registries().get(group, 'nothing'), of(404, 'ResourceNotFound', /nothing/)],
        ['no such group', () => create('somewhere', {}, 'nogroup'), of(404, 'ResourceGroupNotFound', /nogroup/)],
        ['name taken', () => create('local'), of(409, 'AlreadyInUse')],
        ['name reserved', () => create('portal'), of(400, 'InvalidResourceName', /reserved/)],
        [
          'unknown location',
          () => create('somewhere', { location: 'mars' }),
          of(400, 'LocationNotAvailableForResourceType', /eastus/),
        ],
        ['SKU', () => create('somewhere', { dataEndpointEnabled: true }), of(400, 'SkuNotSupported', /Premium/)],
      ];
      for (const [why, attempt, error] of failures) await assert.rejects(attempt, error, why);
    });

    test('more registries than one page are listed whole', async () => {
      const rest = await azRest(bench().server);
      const many = Array.from({ length: 260 }, (_, index) => `paged${String(index).padStart(3, '0')}`);
      const scope = `${rest.subscription}/resourceGroups/paging`;
      await rest.done('PUT', scope, { location: 'local' });
      const provider = `${scope}/providers/Microsoft.ContainerRegistry/registries`;
      const body = { location: 'local', sku: { name: 'Basic' } };
      for (const registry of many) await rest.done('PUT', `${provider}/${registry}`, body);
      const pages: number[] = [];
      for await (const page of registries().listByResourceGroup('paging').byPage()) pages.push(page.length);
      assert.deepEqual(pages, [250, 10]);
      assert.deepEqual(await namesOf(registries().listByResourceGroup('paging')), many);
    });
  });
}

function of(statusCode: number, code: string, message: RegExp = /./) {
  return { name: 'RestError', statusCode, code, message };
}

async function namesOf(items: AsyncIterable<{ readonly name?: string }>): Promise<(string | undefined)[]> {
  return (await Array.fromAsync(items)).map((item) => item.name);
}

/** As the guide "use the Azure SDKs" has it, but for the authority's certificate, which a program gets from NODE_EXTRA_CA_CERTS. */
function credentialOf({ https, bootstrap }: BerthServer, tlsOptions: { readonly ca: string }): ClientSecretCredential {
  const { owner, tenantId } = bootstrap;
  return new ClientSecretCredential(tenantId, owner.clientId, owner.clientSecret, {
    authorityHost: https,
    disableInstanceDiscovery: true,
    tlsOptions,
  });
}

function connect10(server: BerthServer): Client10 {
  const { subscriptionId } = server.bootstrap;
  const tlsOptions = { ca: readFileSync(server.caPath, 'utf8') };
  return new Client10(credentialOf(server, tlsOptions), subscriptionId, { endpoint: server.https, tlsOptions });
}

function connect12(server: BerthServer): Client12 {
  const { subscriptionId } = server.bootstrap;
  const tlsOptions = { ca: readFileSync(server.caPath, 'utf8') };
  return new Client12(credentialOf(server, tlsOptions), subscriptionId, { endpoint: server.https, tlsOptions });
}
