import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { useWorkbench } from './workbench.ts';

const program = process.env.BERTH_TEST_AZ ?? 'az';

const registries = 'Microsoft.ContainerRegistry/registries';

/** The file people have: comments and a text over two lines stand in it as `az` sends them on. */
const template = `{
  // A registry whose untagged manifests leave after some days.
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {
    "registryName": { "type": "string", "minLength": 5, "maxLength": 50, "metadata": { "description": "Unique in
      the installation." } },
    "sku": { "type": "string", "defaultValue": "Premium", "allowedValues": ["Basic", "Standard", "Premium"] },
    "retentionDays": { "type": "int", "defaultValue": 7, "minValue": 0, "maxValue": 365 },
    "note": { "type": "secureString", "defaultValue": "hidden-words" }
  },
  "variables": { "tags": { "team": "[toLower('PLATFORM')]", "unique": "[uniqueString(resourceGroup().id)]" } },
  "resources": [{
    "type": "${registries}", "apiVersion": "2023-07-01", "name": "[parameters('registryName')]",
    "location": "[resourceGroup().location]",
    "tags": "[variables('tags')]",
    "sku": { "name": "[parameters('sku')]" },
    "properties": {
      "adminUserEnabled": true,
      "policies": { "retentionPolicy": { "status": "enabled", "days": "[parameters('retentionDays')]" } }
    }
  }],
  "outputs": {
    "loginServer": { "type": "string", "value": "[reference(resourceId('${registries}', parameters('registryName'))).loginServer]" },
    "userName": { "type": "string", "value": "[listCredentials(resourceId('${registries}', parameters('registryName')), '2023-07-01').username]" }
  }
}`;

/** As Bicep 0.20 and newer write it: symbolic names, a module, an existing resource. */
const compiled = JSON.stringify({
  $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
  languageVersion: '2.0',
  contentVersion: '1.0.0.0',
  metadata: { _generator: { name: 'bicep', version: '0.30.23.60470', templateHash: '1' } },
  parameters: { names: { type: 'array', defaultValue: ['moduleone', 'moduletwo'] } },
  resources: {
    base: { existing: true, type: registries, apiVersion: '2023-07-01', name: 'templated' },
    each: {
      copy: { name: 'each', count: "[length(parameters('names'))]" },
      type: 'Microsoft.Resources/deployments',
      apiVersion: '2022-09-01',
      name: "[format('module-{0}', copyIndex())]",
      properties: {
        expressionEvaluationOptions: { scope: 'inner' },
        mode: 'Incremental',
        parameters: { name: { value: "[parameters('names')[copyIndex()]]" } },
        template: {
          $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
          contentVersion: '1.0.0.0',
          parameters: { name: { type: 'string' } },
          resources: [
            {
              type: registries,
              apiVersion: '2023-07-01',
              name: "[parameters('name')]",
              location: '[resourceGroup().location]',
              sku: { name: 'Basic' },
            },
          ],
          outputs: { id: { type: 'string', value: `[resourceId('${registries}', parameters('name'))]` } },
        },
      },
    },
  },
  outputs: {
    first: { type: 'string', value: "[reference('each[0]').outputs.id.value]" },
    base: { type: 'string', value: "[reference('base').loginServer]" },
  },
});

/** What tutorials type. Source: Azure Resource Manager, "Deploy with ARM templates and the Azure CLI". */
describe('az deployment group', () => {
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
  const deploy = (file: string, ...more: string[]) => ['-g', 'demo', '-f', `${bench().folder}/${file}`, ...more];
  const named = ['-p', 'registryName=templated'];

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
    await az('login', '--service-principal', '-u', clientId, '-p', clientSecret, '--tenant', server.bootstrap.tenantId);
    await az('group', 'create', '-n', 'demo', '-l', 'eastus');
    bench().file('registry.json', template);
    bench().file('compiled.json', compiled);
  });

  test('a template is foretold, validated, deployed, and the same once more', async () => {
    const whatIf = async (...more: string[]) =>
      await az('deployment', 'group', 'what-if', ...deploy('registry.json', ...named, ...more));
    assert.match(await whatIf(), /\+ Microsoft\.ContainerRegistry\/registries\/templated.*1 to create\./s);
    assert.equal(await json('acr', 'check-name', '-n', 'templated', '--query', 'nameAvailable'), true);
    await az('deployment', 'group', 'validate', ...deploy('registry.json', ...named));
    const properties = z.looseObject({
      provisioningState: z.literal('Succeeded'),
      outputs: z.object({
        loginServer: z.object({ type: z.literal('String'), value: z.string() }),
        userName: z.object({ type: z.string(), value: z.literal('templated') }),
      }),
      parameters: z.looseObject({ note: z.strictObject({ type: z.literal('SecureString') }) }),
    });
    const create = async (...more: string[]) =>
      properties.parse(
        await json(
          'deployment',
          'group',
          'create',
          '-n',
          'first',
          ...deploy('registry.json', ...named, ...more),
          '--query',
          'properties',
        ),
      );
    const first = await create();
    assert.match(first.outputs.loginServer.value, /^templated\./);
    assert.equal(await json('acr', 'show', '-n', 'templated', '--query', 'tags.team'), 'platform');
    assert.equal(await json('acr', 'config', 'retention', 'show', '-r', 'templated', '--query', 'days'), 7);
    assert.match(await whatIf(), /= Microsoft\.ContainerRegistry\/registries\/templated.*1 no change\./s);
    const etag = async () => await json('acr', 'show', '-n', 'templated', '--query', 'systemData.lastModifiedAt');
    const before = await etag();
    await create();
    assert.equal(await etag(), before);
    const changed = await whatIf('-p', 'retentionDays=30');
    assert.match(changed, /~ Microsoft\.ContainerRegistry\/registries\/templated/);
    assert.match(changed, /properties\.policies\.retentionPolicy\.days: +7 => 30.*1 to modify\./s);
    await create('-p', 'retentionDays=30');
    assert.equal(await json('acr', 'config', 'retention', 'show', '-r', 'templated', '--query', 'days'), 30);
  });

  test('deployments are shown, listed, exported and deleted; what they made stays', async () => {
    assert.equal(await json('deployment', 'group', 'show', '-g', 'demo', '-n', 'FIRST', '--query', 'name'), 'first');
    assert.deepEqual(await json('deployment', 'group', 'list', '-g', 'demo', '--query', '[].name'), ['first']);
    assert.deepEqual(
      await json(
        'deployment',
        'operation',
        'group',
        'list',
        '-g',
        'demo',
        '-n',
        'first',
        '--query',
        '[].properties.targetResource.resourceName',
      ),
      ['templated'],
    );
    assert.match(
      await az('deployment', 'group', 'export', '-g', 'demo', '-n', 'first'),
      /"contentVersion": "1\.0\.0\.0"/,
    );
    await az('deployment', 'group', 'delete', '-g', 'demo', '-n', 'first');
    assert.match(await fails('deployment', 'group', 'show', '-g', 'demo', '-n', 'first'), /\(DeploymentNotFound\)/);
    assert.equal(await json('acr', 'show', '-n', 'templated', '--query', 'name'), 'templated');
  });

  test('what Bicep compiles to: symbolic names, modules in a loop, existing resources', async () => {
    const outputs = await json(
      'deployment',
      'group',
      'create',
      ...deploy('compiled.json'),
      '--query',
      'properties.outputs',
    );
    const texts = z
      .object({ first: z.object({ value: z.string() }), base: z.object({ value: z.string() }) })
      .parse(outputs);
    assert.match(texts.first.value, /\/registries\/moduleone$/);
    assert.match(texts.base.value, /^templated\./);
    assert.deepEqual(await json('acr', 'list', '-g', 'demo', '--query', 'sort([].name)'), [
      'moduleone',
      'moduletwo',
      'templated',
    ]);
  });

  test('mistakes are told with their place; a refused template changes nothing', async () => {
    const create = ['deployment', 'group', 'create'];
    assert.match(
      await fails(...create, ...deploy('registry.json', ...named, '-p', 'sku=Tiny')),
      /InvalidTemplate.*parameters\.sku/s,
    );
    bench().file('unknown.json', template.replace('toLower(', 'toUnknown('));
    assert.match(await fails(...create, ...deploy('unknown.json', ...named)), /InvalidTemplate.*toUnknown/s);
    assert.match(
      await fails(...create, ...deploy('registry.json', '-p', 'registryName=portal')),
      /InvalidTemplateDeployment|InvalidResourceName/,
    );
    await az('lock', 'create', '-n', 'frozen', '--lock-type', 'ReadOnly', '-g', 'demo', '--only-show-errors');
    assert.match(await fails(...create, ...deploy('registry.json', ...named, '-p', 'retentionDays=9')), /ScopeLocked/);
    await az('lock', 'delete', '-n', 'frozen', '-g', 'demo');
  });

  test('mode Complete removes what the template does not have', async () => {
    await az('deployment', 'group', 'create', '--mode', 'Complete', ...deploy('registry.json', ...named));
    assert.deepEqual(await json('acr', 'list', '-g', 'demo', '--query', '[].name'), ['templated']);
  });
});
