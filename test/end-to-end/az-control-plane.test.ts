import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { useWorkbench } from './workbench.ts';

/** Another Azure CLI than Debian's 2.45 is tested by naming its program. */
const program = process.env.BERTH_TEST_AZ ?? 'az';

/** What tutorials type. Source: az wire document, sections 1.8 to 2.10. */
describe('az: groups, registries, locks', () => {
  const bench = useWorkbench();
  let trust = '';

  const environment = () => ({
    AZURE_CONFIG_DIR: `${bench().folder}/az`,
    AZURE_CORE_COLLECT_TELEMETRY: 'no',
    AZURE_CORE_NO_COLOR: 'true',
    REQUESTS_CA_BUNDLE: trust,
  });
  const az = async (...args: string[]) => await bench().run(program, args, { env: environment() });
  const json = async (...args: string[]): Promise<unknown> => JSON.parse(await az(...args, '-o', 'json'));
  const fails = async (...args: string[]) => await bench().fail(program, args, { env: environment() });
  const registry = z.looseObject({
    name: z.string(),
    location: z.string(),
    loginServer: z.string(),
    adminUserEnabled: z.boolean(),
    provisioningState: z.literal('Succeeded'),
    resourceGroup: z.string(),
    sku: z.object({ name: z.string(), tier: z.string() }),
  });

  before(async () => {
    const { server } = bench();
    const origin = server.https;
    trust = server.caPath;
    const suffix = server.bootstrap.registry.loginServer.replace(/^local/, '');
    const config = bench().file(
      'cloud.json',
      JSON.stringify({
        endpoints: {
          resourceManager: origin,
          management: origin,
          activeDirectory: `${origin}/adfs`,
          activeDirectoryResourceId: origin,
          activeDirectoryGraphResourceId: `${origin}/graph`,
          microsoftGraphResourceId: `${origin}/graph`,
        },
        suffixes: { acrLoginServerEndpoint: suffix, storageEndpoint: suffix.slice(1), keyvaultDns: '.vault.test' },
      }),
    );
    await az('cloud', 'register', '-n', 'Berth', '--cloud-config', `@${config}`);
    await az('cloud', 'set', '-n', 'Berth');
    const { clientId, clientSecret } = server.bootstrap.owner;
    const { tenantId } = server.bootstrap;
    await az('login', '--service-principal', '-u', clientId, '-p', clientSecret, '--tenant', tenantId);
  });

  test('groups: create, show, exists, update, list', async () => {
    assert.equal(await az('group', 'exists', '-n', 'demo'), 'false\n');
    const group = z.looseObject({ name: z.literal('demo'), location: z.literal('eastus') });
    group.parse(await json('group', 'create', '-n', 'demo', '-l', 'East US', '--tags', 'env=dev'));
    assert.equal(await az('group', 'exists', '-n', 'DEMO'), 'true\n');
    assert.deepEqual(await json('group', 'update', '-n', 'demo', '--set', 'tags.team=a', '--query', 'tags'), {
      env: 'dev',
      team: 'a',
    });
    assert.deepEqual(await json('group', 'list', '--tag', 'env=dev', '--query', '[].name'), ['demo']);
    assert.match(await fails('group', 'show', '-n', 'nope'), /\(ResourceGroupNotFound\).*'nope'/);
    assert.match(
      await fails('group', 'create', '-n', 'x', '-l', 'mars'),
      /\(LocationNotAvailableForResourceType\).*eastus/,
    );
    assert.match(await az('account', 'list-locations', '-o', 'table'), /West Europe +westeurope/);
  });

  test('a registry: check-name, create, show, list, update, usage, endpoints', async () => {
    const available = async (name: string) => await json('acr', 'check-name', '-n', name, '--query', 'nameAvailable');
    assert.equal(await available('contoso'), true);
    const created = registry.parse(
      await json('acr', 'create', '-n', 'contoso', '-g', 'demo', '--sku', 'Premium', '--admin-enabled', 'true'),
    );
    assert.deepEqual([created.location, created.adminUserEnabled, created.sku.tier], ['eastus', true, 'Premium']);
    assert.deepEqual([await available('contoso'), await available('portal')], [false, false]);
    assert.match(await az('acr', 'list', '-o', 'table'), /contoso +demo +eastus +Premium +contoso\./);
    assert.deepEqual(await json('acr', 'list', '-g', 'demo', '--query', '[].name'), ['contoso']);
    assert.equal(
      await az('acr', 'show', '-n', 'contoso', '--query', 'loginServer', '-o', 'tsv'),
      `${created.loginServer}\n`,
    );
    assert.match(await az('acr', 'show-usage', '-n', 'contoso', '-o', 'table'), /Size +536870912000 +0 +Bytes/);
    assert.match(await az('acr', 'show-endpoints', '-n', 'contoso'), /"region": "eastus"/);
    const updated = registry.parse(await json('acr', 'update', '-n', 'contoso', '--sku', 'Standard', '--tags', 'a=b'));
    assert.deepEqual([updated.sku.name, updated.tags], ['Standard', { a: 'b' }]);
    await az('acr', 'update', '-n', 'contoso', '--anonymous-pull-enabled', 'true');
    assert.match(
      await fails('acr', 'update', '-n', 'contoso', '--sku', 'Basic'),
      /\(DowngradeNotAllowed\).*anonymous pull/,
    );
    await az('acr', 'update', '-n', 'contoso', '--sku', 'Premium', '--anonymous-pull-enabled', 'false');
    assert.match(await fails('acr', 'create', '-n', 'local', '-g', 'demo', '--sku', 'Basic'), /\(AlreadyInUse\)/);
    assert.match(await fails('acr', 'show', '-n', 'missing1', '-g', 'demo'), /\(ResourceNotFound\)/);
  });

  test('credentials of the admin user are shown, renewed, and open the registry', async () => {
    const credentials = z.object({
      username: z.literal('contoso'),
      passwords: z.array(z.object({ name: z.string(), value: z.string() })).length(2),
    });
    const before = credentials.parse(await json('acr', 'credential', 'show', '-n', 'contoso'));
    const after = credentials.parse(
      await json('acr', 'credential', 'renew', '-n', 'contoso', '--password-name', 'password2'),
    );
    assert.equal(after.passwords[0]?.value, before.passwords[0]?.value);
    assert.notEqual(after.passwords[1]?.value, before.passwords[1]?.value);
    const host = (await az('acr', 'show', '-n', 'contoso', '--query', 'loginServer', '-o', 'tsv')).trim();
    await bench().run('skopeo', [
      ...['copy', '--dest-cert-dir', bench().certificates, '--dest-creds', `contoso:${after.passwords[1]?.value}`],
      ...['oci:samples:app', `docker://${host}/demo/app:v1`],
    ]);
    const size = await json('acr', 'show-usage', '-n', 'contoso', '--query', "value[?name=='Size'].currentValue | [0]");
    assert.ok(Number(size) > 0);
  });

  test('policies, network rules, identity and encryption are set and shown', async () => {
    const config = async (policy: string, ...args: string[]) => {
      const updated = await json('acr', 'config', policy, 'update', '-r', 'contoso', ...args);
      assert.deepEqual(await json('acr', 'config', policy, 'show', '-r', 'contoso'), updated);
      return z.looseObject({ status: z.string() }).parse(updated);
    };
    const retention = await config('retention', '--type', 'UntaggedManifests', '--status', 'enabled', '--days', '10');
    assert.deepEqual([retention.status, retention.days], ['enabled', 10]);
    // Newer versions ask before they change content trust, which is being retired; 2.45 knows no --yes there.
    const isOld = (await az('version', '--query', '"azure-cli"', '-o', 'tsv')).startsWith('2.45.');
    const trustOff = ['--status', 'disabled', ...(isOld ? [] : ['--yes'])];
    assert.equal((await config('content-trust', ...trustOff)).status, 'disabled');
    assert.equal((await config('soft-delete', '--status', 'enabled', '--days', '30', '--yes')).retentionDays, 30);
    assert.equal((await config('authentication-as-arm', '--status', 'disabled')).status, 'disabled');
    const rules = ['-n', 'contoso', '--ip-address', '203.0.113.0/24'];
    await az('acr', 'network-rule', 'add', ...rules);
    assert.match(await az('acr', 'network-rule', 'list', '-n', 'contoso'), /203\.0\.113\.0\/24/);
    await az('acr', 'network-rule', 'remove', ...rules);
    assert.deepEqual(await json('acr', 'network-rule', 'list', '-n', 'contoso', '--query', 'ipRules'), []);
    await az('acr', 'identity', 'assign', '-n', 'contoso', '--identities', '[system]');
    const identity = z.looseObject({ type: z.literal('SystemAssigned'), principalId: z.guid() });
    identity.parse(await json('acr', 'identity', 'show', '-n', 'contoso'));
    await az('acr', 'identity', 'remove', '-n', 'contoso', '--identities', '[system]');
    assert.equal(await json('acr', 'encryption', 'show', '-n', 'contoso', '--query', 'status'), 'disabled');
  });

  test('locks and tags; resources are listed and not moved', async () => {
    await az('lock', 'create', '-n', 'keep', '--lock-type', 'CanNotDelete', '-g', 'demo', '--only-show-errors');
    assert.match(await fails('acr', 'delete', '-n', 'contoso', '-y'), /\(ScopeLocked\).*keep/s);
    assert.match(await az('lock', 'list', '-g', 'demo', '-o', 'table'), /CanNotDelete +keep/);
    await az('lock', 'delete', '-n', 'keep', '-g', 'demo');
    const of = ['-g', 'demo', '--resource', 'contoso', '--resource-type', 'Microsoft.ContainerRegistry/registries'];
    await az('lock', 'create', '-n', 'frozen', '--lock-type', 'ReadOnly', ...of, '--only-show-errors');
    assert.match(await fails('acr', 'update', '-n', 'contoso', '--admin-enabled', 'false'), /\(ScopeLocked\)/);
    await az('lock', 'delete', '-n', 'frozen', ...of);
    const type = 'Microsoft.ContainerRegistry/registries';
    assert.deepEqual(await json('resource', 'list', '--resource-type', type, '--query', '[].name'), [
      'local',
      'contoso',
    ]);
    assert.deepEqual(await json('resource', 'list', '--tag', 'a=b', '--query', '[].name'), ['contoso']);
    const id = (await az('acr', 'show', '-n', 'contoso', '--query', 'id', '-o', 'tsv')).trim();
    assert.equal(await json('resource', 'show', '--ids', id, '--query', 'name'), 'contoso');
    await az('tag', 'update', '--resource-id', id, '--operation', 'Merge', '--tags', 'c=d');
    assert.deepEqual(await json('acr', 'show', '-n', 'contoso', '--query', 'tags'), { a: 'b', c: 'd' });
    assert.match(
      await fails('resource', 'move', '--destination-group', 'berth', '--ids', id),
      /\(ResourceMoveNotSupported\)/,
    );
  });

  test('a deleted registry leaves with its content; a deleted group with everything in it', async () => {
    await az('acr', 'delete', '-n', 'contoso', '-y');
    assert.equal(await json('acr', 'check-name', '-n', 'contoso', '--query', 'nameAvailable'), true);
    await az('acr', 'create', '-n', 'contoso', '-g', 'demo', '--sku', 'Basic');
    await az('group', 'delete', '-n', 'demo', '-y');
    assert.equal(await az('group', 'exists', '-n', 'demo'), 'false\n');
    assert.deepEqual(await json('acr', 'list', '--query', '[].name'), ['local']);
    assert.match(await fails('acr', 'delete', '-n', 'local', '-y'), /\(OperationNotAllowed\).*localhost/);
  });
});
