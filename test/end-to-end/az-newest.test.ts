import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { newestAz, newestAzVersion } from '../support/az-newest.ts';
import { azSetUp } from '../support/az-set-up.ts';
import { useWorkbench } from './workbench.ts';

/** What people type, with the newest release; Debian's 2.45 has a file of its own. Source: az wire document, 1.1 to 2.10. */
describe(`az ${newestAzVersion}: set-up, groups, registries`, () => {
  const bench = useWorkbench();
  const environment: Record<string, string> = { AZURE_CORE_COLLECT_TELEMETRY: 'no', AZURE_CORE_NO_COLOR: 'true' };

  /** A line as it is typed into a shell. */
  const type = async (line: string) => await bench().run('sh', ['-euc', line], { env: environment });
  const refused = async (line: string) => await bench().fail('sh', ['-euc', line], { env: environment });
  const json = async (line: string): Promise<unknown> => JSON.parse(await type(`${line} -o json`));

  before(async () => {
    const { server, folder } = bench();
    environment.PATH = `${await newestAz()}:${process.env.PATH}`;
    environment.AZURE_CONFIG_DIR = join(folder, 'az');
    environment.REQUESTS_CA_BUNDLE = (await type(azSetUp(server))).trim();
  });

  test('the lines of berth az-cloud register the cloud and sign the owner in, and may be run again', async () => {
    const version = z.looseObject({ 'azure-cli': z.literal(newestAzVersion) });
    version.parse(await json('az version'));
    assert.equal(await type('az cloud show --query name -o tsv'), 'Berth\n');
    const { bootstrap } = bench().server;
    const account = z.looseObject({ id: z.literal(bootstrap.subscriptionId), tenantId: z.literal(bootstrap.tenantId) });
    account.parse(await json('az account show'));
    await type(azSetUp(bench().server));
    assert.match(await type('az account list-locations -o table'), /West Europe +westeurope/);
  });

  test('one flag is enough to register the cloud: the server tells the rest', async () => {
    const { https, bootstrap } = bench().server;
    await type(`az cloud register -n Found --endpoint-resource-manager ${https}`);
    const found = z.looseObject({
      endpoints: z.looseObject({
        activeDirectory: z.literal(`${https}/adfs`),
        activeDirectoryResourceId: z.literal(https),
        microsoftGraphResourceId: z.literal(`${https}/graph`),
      }),
      suffixes: z.looseObject({
        acrLoginServerEndpoint: z.literal(bootstrap.registry.loginServer.replace(/^local/, '')),
      }),
    });
    found.parse(await json('az cloud show -n Found'));
    await type('az cloud unregister -n Found');
  });

  test('groups are made, shown, tagged and listed', async () => {
    assert.equal(await type('az group exists -n demo'), 'false\n');
    await type('az group create -n demo -l "East US" --tags env=dev');
    assert.equal(await type('az group exists -n DEMO'), 'true\n');
    const group = z.looseObject({
      location: z.literal('eastus'),
      properties: z.looseObject({ provisioningState: z.literal('Succeeded') }),
    });
    group.parse(await json('az group show -n demo'));
    assert.deepEqual(await json('az group update -n demo --set tags.team=a --query tags'), { env: 'dev', team: 'a' });
    assert.match(await type('az group list -o table'), /^demo +eastus +Succeeded$/m);
    assert.deepEqual(await json('az group list --tag team=a --query [].name'), ['demo']);
  });

  test('a registry is made, shown, listed, changed, and its name checked', async () => {
    assert.equal(await json('az acr check-name -n contoso --query nameAvailable'), true);
    const registry = z.looseObject({
      name: z.literal('contoso'),
      location: z.literal('eastus'),
      resourceGroup: z.literal('demo'),
      loginServer: z.literal(bench().named.host.replace(/^local/, 'contoso')),
      provisioningState: z.literal('Succeeded'),
      adminUserEnabled: z.boolean(),
      anonymousPullEnabled: z.literal(false),
      dataEndpointEnabled: z.literal(false),
      publicNetworkAccess: z.literal('Enabled'),
      zoneRedundancy: z.literal('Disabled'),
      roleAssignmentMode: z.literal('LegacyRegistryPermissions'),
      sku: z.object({ name: z.string(), tier: z.string() }),
      systemData: z.looseObject({ createdByType: z.literal('Application') }),
    });
    const created = registry.parse(
      await json('az acr create -n contoso -g demo --sku Premium -l eastus --admin-enabled true'),
    );
    assert.deepEqual([created.sku, created.adminUserEnabled], [{ name: 'Premium', tier: 'Premium' }, true]);
    assert.deepEqual(registry.parse(await json('az acr show -n contoso')), created);
    assert.deepEqual(await json("az acr check-name -n contoso --query '[nameAvailable, reason]'"), [
      false,
      'AlreadyExists',
    ]);
    assert.match(
      await type('az acr show -n contoso -o table'),
      /^contoso +demo +eastus +Premium +contoso\.\S+ +\S+ +True$/m,
    );
    const columns = "--query '{Name:name, Sku:sku.name, Admin:adminUserEnabled}' -o table";
    assert.match(await type(`az acr show -n contoso ${columns}`), /^Name +Sku +Admin\n[- ]+\ncontoso +Premium +True\n/);
    assert.match(await type('az acr list -o table'), /^contoso +demo +eastus +Premium /m);
    assert.deepEqual(await json('az acr list -g demo --query [].name'), ['contoso']);
    const updated = registry.parse(
      await json('az acr update -n contoso --sku Standard --tags a=b --admin-enabled false'),
    );
    assert.deepEqual([updated.sku.name, updated.tags, updated.adminUserEnabled], ['Standard', { a: 'b' }, false]);
    assert.equal(
      await json('az acr update -n contoso --anonymous-pull-enabled true --query anonymousPullEnabled'),
      true,
    );
    assert.match(await refused('az acr update -n contoso --sku Basic'), /\(DowngradeNotAllowed\).*anonymous pull/);
    await type('az acr update -n contoso --sku Premium --anonymous-pull-enabled false --admin-enabled true');
  });

  test('a domain name label is part of the login server', async () => {
    const scope = '--dnl-scope TenantReuse';
    const available = await json(`az acr check-name -n labelled ${scope} --query availableLoginServerName`);
    await type(`az acr create -n labelled -g demo --sku Basic ${scope}`);
    const server = await json('az acr show -n labelled --query loginServer');
    assert.equal(server, available);
    assert.match(String(server), /^labelled-[a-z0-9]+\./);
    await type('az acr delete -n labelled -y');
  });

  test('usage and endpoints', async () => {
    assert.match(await type('az acr show-usage -n contoso -o table'), /^Size +536870912000 +0 +Bytes$/m);
    assert.match(await type('az acr show-endpoints -n contoso'), /"region": "eastus"/);
    await type('az acr update -n contoso --data-endpoint-enabled true');
    const endpoints = await json('az acr show-endpoints -n contoso --query dataEndpoints');
    assert.deepEqual(endpoints, [{ endpoint: `contoso.eastus.data.berth.localhost`, region: 'eastus' }]);
    await type('az acr update -n contoso --data-endpoint-enabled false');
  });

  test('passwords of the admin user are shown and renewed', async () => {
    const first = await type("az acr credential show -n contoso --query 'passwords[0].value' -o tsv");
    assert.match(await type('az acr credential show -n contoso -o table'), /^contoso +\S+ +\S+$/m);
    await type('az acr credential renew -n contoso --password-name password');
    assert.notEqual(await type("az acr credential show -n contoso --query 'passwords[0].value' -o tsv"), first);
    await type('az acr update -n contoso --admin-enabled false');
    assert.match(await refused('az acr credential show -n contoso'), /--admin-enabled true/);
  });

  for (const [policy, change, shown] of [
    // Newer releases only turn it off.
    ['content-trust', '--status disabled --yes', { status: 'disabled' }],
    ['retention', '--type UntaggedManifests --status enabled --days 10', { status: 'enabled', days: 10 }],
    ['soft-delete', '--status enabled --days 30 --yes', { status: 'enabled', retentionDays: 30 }],
    ['authentication-as-arm', '--status disabled', { status: 'disabled' }],
  ] as const) {
    test(`config ${policy}: what is set is shown`, async () => {
      const updated = await json(`az acr config ${policy} update -r contoso ${change}`);
      assert.deepEqual(await json(`az acr config ${policy} show -r contoso`), updated);
      assert.partialDeepStrictEqual(updated, shown);
    });
  }

  test('network rules are added, listed and removed', async () => {
    await type('az acr network-rule add -n contoso --ip-address 203.0.113.0/24');
    const rules = await json('az acr network-rule list -n contoso --query ipRules[].ipAddressOrRange');
    assert.deepEqual(rules, ['203.0.113.0/24']);
    await type('az acr network-rule remove -n contoso --ip-address 203.0.113.0/24');
    assert.deepEqual(await json('az acr network-rule list -n contoso --query ipRules'), []);
    await type('az acr update -n contoso --default-action Deny --public-network-enabled false');
    assert.deepEqual(
      await json("az acr show -n contoso --query '[publicNetworkAccess, networkRuleSet.defaultAction]'"),
      ['Disabled', 'Deny'],
    );
    await type('az acr update -n contoso --public-network-enabled true --default-action Allow');
  });

  test('a managed identity is given and taken away; encryption is shown', async () => {
    await type("az acr identity assign -n contoso --identities '[system]'");
    const identity = z.looseObject({ type: z.literal('SystemAssigned'), principalId: z.guid(), tenantId: z.guid() });
    identity.parse(await json('az acr identity show -n contoso'));
    await type("az acr identity remove -n contoso --identities '[system]'");
    assert.equal(await json('az acr encryption show -n contoso --query status'), 'disabled');
  });

  test('a locked registry stays; a deleted group leaves with everything in it', async () => {
    await type('az lock create -n keep --lock-type CanNotDelete -g demo --only-show-errors');
    assert.match(await refused('az acr delete -n contoso -y'), /\(ScopeLocked\).*keep/s);
    await type('az lock delete -n keep -g demo');
    await type('az acr delete -n contoso -y');
    assert.match(await refused('az acr show -n contoso'), /could not be found/);
    await type('az acr create -n contoso -g demo --sku Basic');
    await type('az group delete -n demo -y');
    assert.equal(await type('az group exists -n demo'), 'false\n');
    assert.deepEqual(await json('az acr list --query [].name'), ['local']);
  });

  test('the owner signs in as a user, and with the addresses of a tenant instead of /adfs', async () => {
    const { https, bootstrap } = bench().server;
    const { userName, password, clientId, clientSecret } = bootstrap.owner;
    await type(`az login -u '${userName}' -p '${password}' -o none`);
    assert.match(await type('az acr list -o table'), /^local /m);
    await type('az logout');
    await type('az config set core.instance_discovery=false --only-show-errors');
    await type(`az cloud update -n Berth --endpoint-active-directory ${https} --skip-endpoint-discovery`);
    await type(
      `az login --service-principal -u ${clientId} -p '${clientSecret}' --tenant ${bootstrap.tenantId} -o none`,
    );
    assert.match(await type('az acr list -o table'), /^local /m);
    await type('az logout');
    assert.match(await refused('az acr list'), /az login/);
  });
});
