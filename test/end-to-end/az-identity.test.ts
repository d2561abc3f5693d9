import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { z } from 'zod';
import { AzMachine, azReleases, azReleasesInTurn, type Environment } from '../support/az-machine.ts';
import { azRest } from '../support/az-rest.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { freePort } from '../support/free-port.ts';
import { tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// Managed identities: as resources, of registries, and as machines sign in by them.

const berth = join(import.meta.dirname, '../../bin/berth');
const folder = temporaryFolder('az-identity');
const identitySchema = z.looseObject({ id: z.string(), clientId: z.guid(), principalId: z.guid(), tenantId: z.guid() });
let server: BerthServer;
let endpoint = '';

before(async () => {
  const port = await freePort();
  endpoint = `http://127.0.0.1:${port}`;
  server = await startBerth({ settings: { 'identity-endpoint': `127.0.0.1:${port}` } });
});
after(async () => {
  await server.remove();
  folder.remove();
});

/** A command of `berth identity`; answers its exit code and what it prints. */
async function identityCommand(...args: readonly string[]) {
  // Variables of the tests are no settings of the command.
  const without = Object.keys(process.env).flatMap((name) => (name.startsWith('BERTH_') ? ['-u', name] : []));
  const command = [...without, berth, 'identity', ...args, '--data', server.dataFolder];
  const { code, stdout, output } = await tryRun('env', command);
  return { code, stdout: stdout.trim(), output };
}

/** Where each release looks for the endpoint: by the machine's address, and with a secret. */
function placesOf(version: string, secret: string): readonly Environment[] {
  if (version === '2.45')
    return [
      { MSI_ENDPOINT: `${endpoint}/msi/token` },
      { APPSETTING_WEBSITE_SITE_NAME: 'app', MSI_ENDPOINT: `${endpoint}/msi/token`, MSI_SECRET: secret },
    ];
  return [
    { AZURE_POD_IDENTITY_AUTHORITY_HOST: endpoint },
    { IDENTITY_ENDPOINT: `${endpoint}/msi/token`, IDENTITY_HEADER: secret },
  ];
}

for (const release of azReleasesInTurn('debian')) {
  describe(`az ${release.version}`, () => {
    let owner: AzMachine;
    const machine = async (name: string, options?: string) =>
      await AzMachine.setUp(server, release, join(folder.path, release.version, name), options);

    before(async () => {
      owner = await machine('owner');
      await owner.type('az group create -n demo -l eastus');
    });

    test('an identity is made, shown, listed, found in the directory and deleted', async () => {
      const made = identitySchema.parse(await owner.json('az identity create -g demo -n builder --tags team=a'));
      assert.equal(made.tenantId, server.bootstrap.tenantId);
      assert.deepEqual(await owner.json('az identity create -g demo -n builder --query clientId'), made.clientId);
      assert.deepEqual(await owner.json('az identity show -g demo -n builder --query principalId'), made.principalId);
      for (const group of ['', '-g demo'])
        assert.deepEqual(await owner.json(`az identity list ${group} --query '[].id'`), [made.id]);
      const found = await owner.json(
        `az ad sp show --id ${made.clientId} --query '[id, servicePrincipalType, alternativeNames]'`,
      );
      assert.deepEqual(found, [made.principalId, 'ManagedIdentity', ['isExplicit=True', made.id]]);
      assert.match(await owner.refused(`az ad sp delete --id ${made.clientId}`), /changes and goes with its resource/);
      assert.match(await owner.refused('az identity create -g demo -n x'), /3 to 128 letters/);
      assert.match(await owner.refused('az identity create -g nowhere -n builder -l eastus'), /nowhere/);
      await owner.type('az identity delete -g demo -n builder');
      assert.match(await owner.refused('az identity show -g demo -n builder'), /not found/);
      assert.match(await owner.refused(`az ad sp show --id ${made.clientId}`), /no such object/);
    });

    test('a registry has an identity of its own, and others that exist', async () => {
      await owner.type('az acr create -n contoso -g demo --sku Basic');
      const { id } = identitySchema.parse(await owner.json('az identity create -g demo -n registry'));
      await owner.type(`az acr identity assign -n contoso --identities '[system]' ${id}`);
      const shown = z
        .looseObject({ principalId: z.guid(), userAssignedIdentities: z.record(z.string(), z.looseObject({})) })
        .parse(await owner.json('az acr identity show -n contoso'));
      assert.deepEqual(Object.keys(shown.userAssignedIdentities), [id]);
      const own = `az ad sp show --id ${shown.principalId} --query '[displayName, servicePrincipalType]'`;
      assert.deepEqual(await owner.json(own), ['contoso', 'ManagedIdentity']);
      const missing = `az acr identity assign -n contoso --identities ${id}x`;
      assert.match(await owner.refused(missing), /registryx' does not exist/);
      await owner.type("az acr identity remove -n contoso --identities '[system]'");
      assert.match(await owner.refused(own), /no such object/);
      await owner.type("az acr identity assign -n contoso --identities '[system]'");
      const again = await owner.json('az acr identity show -n contoso --query principalId');
      assert.notEqual(again, shown.principalId);
      await owner.type('az acr delete -n contoso -y');
      assert.match(await owner.refused(`az ad sp show --id ${again}`), /no such object/);
      await owner.type('az identity delete -g demo -n registry');
    });

    test('a machine signs in as the identity it was bound to, until it is unbound', async () => {
      const { id, clientId, principalId } = identitySchema.parse(
        await owner.json('az identity create -g demo -n runner'),
      );
      const address = await identityCommand('bind', '--identity', clientId, '--address', '127.0.0.0/8', '--json');
      const binding = z.looseObject({ id: z.string() }).parse(JSON.parse(address.stdout));
      const secret = (await identityCommand('bind', '--identity', 'runner', '--secret')).stdout;
      const listed = await identityCommand('bindings');
      assert.match(listed.stdout, new RegExp(`^${binding.id} +runner +${clientId} +127.0.0.0/8$`, 'm'));
      assert.ok(!listed.stdout.includes(secret.split('.')[1] ?? 'secret'));

      const stranger = await machine('stranger', '--cloud-only');
      const login = 'az login --identity --allow-no-subscriptions';
      const named =
        release.version === '2.45'
          ? [clientId, principalId, id].map((name) => `--username ${name}`)
          : [`--client-id ${clientId}`, `--object-id ${principalId}`, `--resource-id ${id}`];
      const [byAddress = {}, bySecret = {}] = placesOf(release.version, secret);
      for (const [name, place] of Object.entries({ address: byAddress, secret: bySecret })) {
        const runner = stranger.twin(join(folder.path, release.version, `runner-by-${name}`));
        // App Service knows the client id alone.
        for (const option of ['', ...(name === 'address' ? named : named.slice(0, 1))])
          await runner.type(`${login} ${option}`, place);
        const token = 'az account get-access-token --resource https://containerregistry.azure.net --query accessToken';
        const { appid, oid } = decodeJwt(String(await runner.json(token, place)));
        assert.deepEqual([appid, oid], [clientId, principalId]);
      }
      const lost = stranger.twin(join(folder.path, release.version, 'lost'));
      await lost.refused(`${login} ${named[0]}x`, byAddress);

      assert.equal((await identityCommand('unbind', binding.id)).code, 0);
      assert.equal((await identityCommand('unbind', binding.id)).code, 3);
      assert.match(await lost.refused(login, byAddress), /Identity not found|400/);
      await owner.type('az identity delete -g demo -n runner');
      assert.doesNotMatch((await identityCommand('bindings')).stdout, /runner/);
    });
  });
}

describe('a template', () => {
  test('makes an identity, a registry that has it, and a role for it, and may be deployed again', async () => {
    const release = azReleases.at(-1) ?? assert.fail();
    const owner = await AzMachine.setUp(server, release, join(folder.path, 'deployer'));
    await owner.type('az group create -n templates -l eastus');
    const identity = "resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'made')";
    const registry = "resourceId('Microsoft.ContainerRegistry/registries', 'templated')";
    const acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d';
    const template = {
      $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
      contentVersion: '1.0.0.0',
      resources: [
        {
          type: 'Microsoft.ManagedIdentity/userAssignedIdentities',
          ...{ apiVersion: '2023-01-31', name: 'made', location: 'eastus' },
        },
        {
          type: 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials',
          ...{ apiVersion: '2023-01-31', name: 'made/main', dependsOn: [`[${identity}]`] },
          properties: { issuer: 'https://issuer.example', subject: 'main', audiences: ['exchange'] },
        },
        {
          type: 'Microsoft.ContainerRegistry/registries',
          ...{ apiVersion: '2023-07-01', name: 'templated', location: 'eastus', dependsOn: [`[${identity}]`] },
          sku: { name: 'Basic' },
          identity: { type: 'SystemAssigned, UserAssigned', userAssignedIdentities: { [`[${identity}]`]: {} } },
          properties: {},
        },
        {
          type: 'Microsoft.Authorization/roleAssignments',
          ...{ apiVersion: '2022-04-01', name: "[guid('made', 'pull')]", dependsOn: [`[${registry}]`] },
          scope: "[format('Microsoft.ContainerRegistry/registries/{0}', 'templated')]",
          properties: {
            roleDefinitionId: `[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '${acrPull}')]`,
            principalId: `[reference(${identity}, '2023-01-31').principalId]`,
            principalType: 'ServicePrincipal',
          },
        },
      ],
      outputs: { clientId: { type: 'string', value: `[reference(${identity}, '2023-01-31').clientId]` } },
    };
    const file = join(folder.path, 'template.json');
    writeFileSync(file, JSON.stringify(template));
    const deploy = `az deployment group create -g templates --template-file ${file}`;
    const clientId = await owner.json(`${deploy} --query properties.outputs.clientId.value`);
    assert.equal(clientId, await owner.json('az identity show -g templates -n made --query clientId'));
    assert.equal(await owner.json(`${deploy} --query properties.outputs.clientId.value`), clientId);
    const identities = await owner.json("az acr identity show -n templated --query 'keys(userAssignedIdentities)'");
    assert.deepEqual(identities, [await owner.json('az identity show -g templates -n made --query id')]);
    await owner.type('az group delete -n templates -y');
    assert.match(await owner.refused(`az ad sp show --id ${clientId}`), /no such object/);
  });
});

describe('what a machine bought with its binding', () => {
  const answerSchema = z.looseObject({
    access_token: z.string().exactOptional(),
    refresh_token: z.string().exactOptional(),
  });
  const post = async (path: string, form: Readonly<Record<string, string>>) => {
    const answer = await fetch(server.http + path, { method: 'POST', body: new URLSearchParams(form) });
    return { status: answer.status, ...answerSchema.parse(await answer.json()) };
  };

  test('opens what its role allows, and ends with the binding from the next request on', async () => {
    const rest = await azRest(server);
    const group = `${rest.subscription}/resourceGroups/machines`;
    const identity = `${group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller`;
    await rest.done('PUT', group, { location: 'eastus' });
    await rest.done('PUT', identity, { location: 'eastus' });
    const { properties } = z
      .looseObject({ properties: identitySchema.omit({ id: true }) })
      .parse(await (await rest.send('GET', identity)).json());
    const acrPull = `${rest.subscription}/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d`;
    await rest.done('PUT', `${rest.subscription}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`, {
      properties: { roleDefinitionId: acrPull, principalId: properties.principalId, principalType: 'ServicePrincipal' },
    });
    const bound = await identityCommand('bind', '--identity', identity, '--address', '127.0.0.1', '--json');
    const { id } = z.looseObject({ id: z.string() }).parse(JSON.parse(bound.stdout));

    const query = 'api-version=2018-02-01&resource=https://containerregistry.azure.net';
    const given = await fetch(`${endpoint}/metadata/identity/oauth2/token?${query}`, { headers: { metadata: 'true' } });
    const { access_token: access = '' } = answerSchema.parse(await given.json());
    const service = server.bootstrap.registry.loginServer;
    const exchange = () => post('/oauth2/exchange', { grant_type: 'access_token', service, access_token: access });
    const { refresh_token: refresh = '' } = await exchange();
    const refreshed = { grant_type: 'refresh_token', service, scope: 'repository:app:pull', refresh_token: refresh };
    const { access_token: pull = '' } = await post('/oauth2/token', refreshed);
    const tags = async () =>
      (await fetch(`${server.http}/v2/app/tags/list`, { headers: { authorization: `Bearer ${pull}` } })).status;
    assert.equal(await tags(), 404);

    assert.equal((await identityCommand('unbind', id)).code, 0);
    assert.equal(await tags(), 401);
    assert.equal((await post('/oauth2/token', refreshed)).status, 401);
    assert.equal((await exchange()).status, 401);
  });
});

describe('berth identity', () => {
  test('what is not enough, or too much, is told with its exit code', async () => {
    for (const [args, code, text] of [
      [['bind'], 2, /--identity, and either --address or --secret/],
      [['bind', '--identity', 'x'], 2, /either --address or --secret/],
      [['bind', '--identity', 'x', '--secret', '--address', '10.0.0.1'], 2, /either --address or --secret/],
      [
        ['bind', '--identity', 'nobody', '--secret'],
        3,
        /no user-assigned managed identity has this id or name: nobody/,
      ],
      [['bind', '--identity', 'nobody', '--address', '0.0.0.0/0'], 1, /0\.0\.0\.0\/0 is too wide/],
      [['unbind', 'nothing'], 3, /no identity is bound under this id: nothing/],
    ] as const) {
      const outcome = await identityCommand(...args);
      assert.equal(outcome.code, code, outcome.output);
      assert.match(outcome.output, text);
    }
  });
});

describe('@azure/identity', () => {
  test('a program has its managed identity in either form', async () => {
    const [release] = azReleases;
    const owner = await AzMachine.setUp(server, release ?? assert.fail(), join(folder.path, 'sdk-owner'));
    await owner.type('az group create -n demo -l eastus');
    const { clientId } = identitySchema.parse(await owner.json('az identity create -g demo -n program'));
    await identityCommand('bind', '--identity', clientId, '--address', '127.0.0.1');
    const secret = (await identityCommand('bind', '--identity', clientId, '--secret')).stdout;
    const scope = `${server.https}/.default`;
    // Each in a process of its own: the library looks once where it is.
    const program = `import { ManagedIdentityCredential } from '@azure/identity';
const credential = new ManagedIdentityCredential({ clientId: '${clientId}' });
console.log((await credential.getToken('${scope}')).token);`;
    for (const env of placesOf('newest', secret)) {
      const options = { env, cwd: join(import.meta.dirname, '../..') };
      const { stdout, output } = await tryRun(process.execPath, ['--input-type=module', '-e', program], options);
      assert.match(stdout, /^ey/, output);
      assert.equal(decodeJwt(stdout.trim()).appid, clientId);
    }
  });
});
