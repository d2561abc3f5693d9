import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { ContainerRegistryClient, KnownContainerRegistryAudience } from '@azure/container-registry';
import { ClientSecretCredential } from '@azure/identity';
import { ContainerRegistryManagementClient } from 'arm-containerregistry-10';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { useWorkbench } from './workbench.ts';

/** How programs with Azure's libraries sign in to a registry, and make tokens for others. */
describe('@azure/identity and a registry', () => {
  const bench = useWorkbench({ settings: { 'trusted-proxies': '127.0.0.1/32,::1/128' } });
  let rest: AzRest;
  const group = 'berth';
  const registry = 'local';
  const tls = () => ({ tlsOptions: { ca: readFileSync(bench().server.caPath, 'utf8') } });
  const credential = () => {
    const { bootstrap, https } = bench().server;
    const { clientId, clientSecret } = bootstrap.owner;
    return new ClientSecretCredential(bootstrap.tenantId, clientId, clientSecret, {
      ...{ authorityHost: https, disableInstanceDiscovery: true },
      ...tls(),
    });
  };
  const listed = async (client: ContainerRegistryClient) => await Array.fromAsync(client.listRepositoryNames());
  const withAudience = (audience: string) =>
    new ContainerRegistryClient(`https://${bench().named.host}`, credential(), { audience, ...tls() });
  const change = async (properties: object) => {
    const path = `${rest.subscription}/resourceGroups/${group}/providers/Microsoft.ContainerRegistry/registries/${registry}`;
    await rest.done('PATCH', path, { properties });
  };

  before(async () => {
    rest = await azRest(bench().server);
    const { username, password, certificates, named } = bench();
    await bench().run('skopeo', [
      ...[
        'copy',
        '--override-arch',
        'arm64',
        '--dest-cert-dir',
        certificates,
        '--dest-creds',
        `${username}:${password}`,
      ],
      ...['oci:samples:multi', `docker://${named.host}/public/app:v1`],
    ]);
  });

  test('repositories are listed with tokens of either audience, until the policy of the registry says otherwise', async () => {
    const manager = KnownContainerRegistryAudience.AzureResourceManagerPublicCloud;
    for (const audience of [manager, 'https://containerregistry.azure.net'])
      assert.deepEqual(await listed(withAudience(audience)), ['public/app']);
    await change({ policies: { azureADAuthenticationAsArmPolicy: { status: 'disabled' } } });
    await assert.rejects(listed(withAudience(manager)), { statusCode: 401 });
    assert.deepEqual(await listed(withAudience('https://containerregistry.azure.net')), ['public/app']);
    await change({ policies: { azureADAuthenticationAsArmPolicy: { status: 'enabled' } } });
    assert.deepEqual(await listed(withAudience(manager)), ['public/app']);
  });

  test('a stranger lists what anonymous pull shows, and nothing without it', async () => {
    const stranger = () => new ContainerRegistryClient(`https://${bench().named.host}`, tls());
    await assert.rejects(listed(stranger()), { statusCode: 401 });
    await change({ anonymousPullEnabled: true, anonymousPullRepositories: ['samples/*'] });
    assert.deepEqual(await listed(stranger()), []);
    await change({ anonymousPullRepositories: ['public/*'] });
    assert.deepEqual(await listed(stranger()), ['public/app']);
    await change({ anonymousPullEnabled: false });
    await assert.rejects(listed(stranger()), { statusCode: 401 });
  });

  test('network rules are about the client behind a trusted proxy', async () => {
    const from = async (address: string) => {
      const answer = await bench().request('GET', '/v2/public/app/manifests/v1', { 'x-forwarded-for': address });
      return [answer.status, answer.ok ? '' : await answer.text()];
    };
    const ipRules = ['203.0.113.0/24', '2001:db8:1::/48'].map((value) => ({ action: 'Allow', value }));
    await change({ networkRuleSet: { defaultAction: 'Deny', ipRules } });
    for (const address of ['203.0.113.9', '2001:db8:1::9', '198.51.100.1, 203.0.113.9'])
      assert.equal((await from(address))[0], 200, address);
    for (const address of ['198.51.100.1', '203.0.113.9, 198.51.100.1']) {
      const message = `client with IP '198.51.100.1' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.`;
      assert.deepEqual(await from(address), [403, JSON.stringify({ errors: [{ code: 'DENIED', message }] })]);
    }
    await change({ networkRuleSet: { defaultAction: 'Allow', ipRules: [] } });
    assert.equal((await from('198.51.100.1'))[0], 200);
  });

  test('scope maps, tokens and their passwords are made, read and deleted', async () => {
    const { server } = bench();
    const options = { endpoint: server.https, ...tls() };
    const client = new ContainerRegistryManagementClient(credential(), server.bootstrap.subscriptionId, options);
    const actions = ['repositories/public/*/content/read'];
    const map = await client.scopeMaps.beginCreateAndWait(group, registry, 'readers', { actions });
    assert.deepEqual([map.actions, map.typePropertiesType], [actions, 'UserDefined']);
    const made = await client.tokens.beginCreateAndWait(group, registry, 'reader', {
      ...(map.id === undefined ? {} : { scopeMapId: map.id }),
      status: 'enabled',
    });
    assert.deepEqual([made.scopeMapId, made.credentials?.passwords], [map.id, []]);
    const expiry = new Date(Date.now() + 86_400_000);
    const generated = await client.registries.beginGenerateCredentialsAndWait(group, registry, {
      ...(made.id === undefined ? {} : { tokenId: made.id }),
      ...{ name: 'password1', expiry },
    });
    const [password] = generated.passwords ?? [];
    assert.deepEqual([generated.username, password?.name, password?.expiry], ['reader', 'password1', expiry]);
    const pull = async () => {
      const trust = ['--cert-dir', bench().certificates, '--creds', `reader:${password?.value}`];
      const image = `docker://${bench().named.host}/public/app:v1`;
      return (await bench().try('skopeo', ['inspect', '--raw', ...trust, image])).code;
    };
    assert.equal(await pull(), 0);
    const names = await Array.fromAsync(client.tokens.list(group, registry), ({ name }) => name);
    assert.deepEqual(names, ['reader']);
    await client.tokens.beginUpdateAndWait(group, registry, 'reader', { status: 'disabled' });
    assert.notEqual(await pull(), 0);
    await assert.rejects(client.scopeMaps.beginDeleteAndWait(group, registry, 'readers'), { code: 'ScopeMapInUse' });
    await client.tokens.beginDeleteAndWait(group, registry, 'reader');
    await client.scopeMaps.beginDeleteAndWait(group, registry, 'readers');
    await assert.rejects(client.scopeMaps.get(group, registry, 'readers'), { statusCode: 404 });
  });
});
