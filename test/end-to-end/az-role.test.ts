import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { newestAz, newestAzVersion } from '../support/az-newest.ts';
import { azSetUp } from '../support/az-set-up.ts';
import { useWorkbench } from './workbench.ts';

const berth = join(import.meta.dirname, '../../bin/berth');
const acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d';

/** What people type. Debian's 2.45 crashes by itself on these commands. Source: az wire document, 5.1. */
describe(`az ${newestAzVersion}: roles`, () => {
  const bench = useWorkbench();
  const environment: Record<string, string> = { AZURE_CORE_COLLECT_TELEMETRY: 'no', AZURE_CORE_NO_COLOR: 'true' };

  const type = async (line: string) => await bench().run('sh', ['-euc', line], { env: environment });
  const refused = async (line: string) => await bench().fail('sh', ['-euc', line], { env: environment });
  const json = async (line: string): Promise<unknown> => JSON.parse(await type(`${line} -o json`));
  const text = async (line: string) => (await type(`${line} -o tsv`)).trim();
  let registryId = '';
  let pipeline = { appId: '', password: '', tenant: '' };

  before(async () => {
    const { server, folder } = bench();
    environment.PATH = `${await newestAz()}:${process.env.PATH}`;
    environment.AZURE_CONFIG_DIR = join(folder, 'az');
    environment.REQUESTS_CA_BUNDLE = (await type(azSetUp(server))).trim();
    await type('az group create -n roles -l local');
    registryId = await text('az acr create -n roles1 -g roles --sku Premium --query id');
  });

  test('built-in roles are found by name and by GUID', async () => {
    const roles = z.array(
      z.looseObject({
        name: z.literal(acrPull),
        roleName: z.literal('AcrPull'),
        roleType: z.literal('BuiltInRole'),
        permissions: z.tuple([
          z.looseObject({ actions: z.tuple([z.literal('Microsoft.ContainerRegistry/registries/pull/read')]) }),
        ]),
      }),
    );
    assert.equal(roles.parse(await json('az role definition list --name AcrPull')).length, 1);
    assert.equal(roles.parse(await json(`az role definition list --name ${acrPull}`)).length, 1);
    assert(Number(await text('az role definition list --query "length(@)"')) >= 20);
  });

  test('a service principal for a pipeline is made with a role on one registry', async () => {
    const made = await json(`az ad sp create-for-rbac -n pipeline --role AcrPush --scopes ${registryId}`);
    pipeline = z.object({ appId: z.guid(), password: z.string(), tenant: z.guid() }).parse(made);
    const [assignment] = z
      .array(
        z.looseObject({
          principalName: z.literal(pipeline.appId),
          principalType: z.literal('ServicePrincipal'),
          roleDefinitionName: z.literal('AcrPush'),
          scope: z.literal(registryId),
        }),
      )
      .parse(await json(`az role assignment list --assignee ${pipeline.appId} --all`));
    assert(assignment);
  });

  test('roles are given by application id, object id and user name, once, and listed', async () => {
    const create = `az role assignment create --scope ${registryId}`;
    const objectId = await text(`az ad sp show --id ${pipeline.appId} --query id`);
    const first = await text(`${create} --assignee ${pipeline.appId} --role AcrPull --query id`);
    const again = await text(
      `${create} --assignee-object-id ${objectId} --assignee-principal-type ServicePrincipal --role ${acrPull} --query id`,
    );
    assert.equal(again, first);
    const ann = 'ann@contoso.example';
    await type(`az ad user create --display-name Ann --user-principal-name ${ann} --password Correct-Horse-1`);
    await type(`${create} --assignee ${ann} --role Reader`);
    const roles = 'az role assignment list --query "sort([].roleDefinitionName)" -o json --scope';
    assert.deepEqual(JSON.parse(await type(`${roles} ${registryId}`)), ['AcrPull', 'AcrPush', 'Reader']);
    assert.deepEqual(JSON.parse(await type(`${roles} $(az group show -n roles --query id -o tsv)`)), []);
    await type(`az role assignment delete --ids ${first}`);
    assert.deepEqual(JSON.parse(await type(`${roles} ${registryId}`)), ['AcrPush', 'Reader']);
  });

  test('nobody who does not exist is given a role', async () => {
    const unknown = '00000000-1111-2222-3333-444444444444';
    const said = await refused(
      `az role assignment create --scope ${registryId} --assignee-object-id ${unknown} --assignee-principal-type User --role AcrPull`,
    );
    assert.match(said, /PrincipalNotFound.*does not exist in the directory/s);
  });

  test('a custom role is made, listed, changed, given and deleted', async () => {
    const scope = registryId.split('/').slice(0, 3).join('/');
    const role = (description: string) =>
      JSON.stringify({
        Name: 'Lister',
        Description: description,
        Actions: ['Microsoft.ContainerRegistry/registries/read'],
        NotActions: [],
        AssignableScopes: [scope],
      });
    await type(`az role definition create --role-definition '${role('lists')}'`);
    const shown = 'az role definition list --custom-role-only true --query';
    assert.equal(await text(`${shown} [].description`), 'lists');
    await type(`az role definition update --role-definition '${role('lists registries')}'`);
    assert.equal(await text(`${shown} [].description`), 'lists registries');
    await type(`az role assignment create --assignee ${pipeline.appId} --role Lister --scope ${scope}`);
    assert.match(await refused('az role definition delete --name Lister'), /RoleDefinitionHasAssignments/);
    await type(`az role assignment delete --assignee ${pipeline.appId} --role Lister --scope ${scope}`);
    await type('az role definition delete --name Lister');
    assert.equal(await text(`${shown} [].description`), '');
  });

  test('a template makes a registry with a retention policy and gives pull rights on it, again and again', async () => {
    const registry = "[resourceId('Microsoft.ContainerRegistry/registries', parameters('name'))]";
    const template = bench().file(
      'role-template.json',
      JSON.stringify({
        $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
        contentVersion: '1.0.0.0',
        parameters: { name: { type: 'string' }, principalId: { type: 'string' } },
        variables: { role: `[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '${acrPull}')]` },
        resources: [
          {
            type: 'Microsoft.ContainerRegistry/registries',
            apiVersion: '2023-07-01',
            name: "[parameters('name')]",
            location: '[resourceGroup().location]',
            sku: { name: 'Premium' },
            properties: { policies: { retentionPolicy: { days: 30, status: 'enabled' } } },
          },
          {
            type: 'Microsoft.Authorization/roleAssignments',
            apiVersion: '2022-04-01',
            scope: "[format('Microsoft.ContainerRegistry/registries/{0}', parameters('name'))]",
            name: `[guid(resourceId('Microsoft.ContainerRegistry/registries', parameters('name')), parameters('principalId'), variables('role'))]`,
            properties: {
              roleDefinitionId: "[variables('role')]",
              principalId: "[parameters('principalId')]",
              principalType: 'ServicePrincipal',
            },
            dependsOn: [registry],
          },
        ],
      }),
    );
    const objectId = await text(`az ad sp show --id ${pipeline.appId} --query id`);
    const deployment = (verb: string) =>
      `az deployment group ${verb} -g roles -n pull --template-file ${template} --parameters name=roles2 principalId=${objectId}`;
    const changes = async () => {
      const foretold = z.object({
        changes: z.array(z.looseObject({ changeType: z.string(), resourceId: z.string() })),
      });
      const { changes: all } = foretold.parse(await json(`${deployment('what-if')} --no-pretty-print`));
      return all.flatMap(({ changeType, resourceId }) => (resourceId.includes('roles2') ? [changeType] : []));
    };
    assert.deepEqual(await changes(), ['Create', 'Create']);
    await type(deployment('create'));
    const scope = await text('az acr show -n roles2 --query id');
    const given = `az role assignment list --scope ${scope} --query [].roleDefinitionName`;
    assert.equal(await text(given), 'AcrPull');
    assert.deepEqual(await changes(), ['NoChange', 'NoChange']);
    await type(deployment('create'));
    assert.equal(await text(given), 'AcrPull');
  });

  test('in repository mode a condition lets the pipeline into some repositories', async () => {
    const scope = await text('az acr create -n roles3 -g roles --sku Standard --query id');
    const loginServer = await text('az acr show -n roles3 --query loginServer');
    const { appId, password } = pipeline;
    /** 404 for a repository that is not there says that one may look. */
    const look = async (repository: string) =>
      await type(
        `curl -s -o '${bench().folder}/look' -w '%{http_code}' --cacert "$REQUESTS_CA_BUNDLE" -u '${appId}:${password}' 'https://${loginServer}/v2/${repository}/tags/list'`,
      );
    await type(`az role assignment create --assignee ${appId} --role AcrPush --scope ${scope}`);
    assert.equal(await look('frontend'), '404');
    assert.equal(
      await text('az acr update -n roles3 --role-assignment-mode rbac-abac --query roleAssignmentMode'),
      'AbacRepositoryPermissions',
    );
    assert.equal(await look('frontend'), '403');
    const name = '@Request[Microsoft.ContainerRegistry/registries/repositories:name]';
    const condition = `${name} StringStartsWithIgnoreCase 'backend/'`;
    const role = 'Container Registry Repository Writer';
    await type(
      `az role assignment create --assignee ${appId} --role "${role}" --scope ${scope} --condition-version 2.0 --condition "${condition}"`,
    );
    assert.equal(await look('backend/api'), '404');
    assert.equal(await look('frontend'), '403');
  });

  test('berth access explain says by which assignment, and what is missing', async () => {
    const explain = async (action: string, scope: string) =>
      await type(
        `'${berth}' access explain --data '${bench().server.dataFolder}' --principal ${pipeline.appId} --action ${action} --scope ${scope}`,
      );
    assert.match(
      await explain('push', 'roles1/team/app'),
      /is allowed: role 'AcrPush' by \/subscriptions\/.*roleAssignments/,
    );
    assert.match(await explain('delete', 'roles1/team/app'), /is denied: .*delete on roles1.*\n.*AcrDelete/);
    const operation = 'Microsoft.ContainerRegistry/registries/write';
    assert.match(await explain(operation, registryId), /is denied.*\n.*Contributor/);
  });

  test('the service principal sees and does what its roles give, and a denial names action and scope', async () => {
    const { appId, password, tenant } = pipeline;
    const home = environment.AZURE_CONFIG_DIR ?? '';
    const own = join(bench().folder, 'az-pipeline');
    await type(`cp -r '${home}' '${own}'`);
    environment.AZURE_CONFIG_DIR = own;
    try {
      await type(`az login --service-principal -u ${appId} -p '${password}' --tenant ${tenant}`);
      assert.equal(await text('az acr list --query [].name'), '');
      const said = await refused(`az acr show -n roles1 -g roles`);
      assert.match(said, /AuthorizationFailed/);
      assert.match(said, /Microsoft\.ContainerRegistry\/registries\/read.*registries\/roles1/s);
      environment.AZURE_CONFIG_DIR = home;
      await type(`az role assignment create --assignee ${appId} --role Reader --scope ${registryId}`);
      environment.AZURE_CONFIG_DIR = own;
      assert.equal(await text('az acr list --query [].name'), 'roles1');
      assert.equal(await text('az acr show -n roles1 --query name'), 'roles1');
      assert.match(await refused('az acr update -n roles1 --admin-enabled true'), /registries\/write/);
      assert.match(await refused('az acr credential show -n roles1'), /listCredentials\/action|disabled|admin/);
    } finally {
      environment.AZURE_CONFIG_DIR = home;
    }
  });
});
