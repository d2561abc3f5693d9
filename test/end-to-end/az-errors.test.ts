import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { azSetUp } from '../support/az-set-up.ts';
import { useWorkbench } from './workbench.ts';

/** A wrong request, and what it is told. */
type Wrong = {
  readonly why: string;
  readonly send: readonly [method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>];
  readonly status: number;
  readonly code: string;
  readonly message: RegExp;
};

const premium = { location: 'eastus', sku: { name: 'Premium' } };
const basic = { location: 'eastus', sku: { name: 'Basic' } };

/** A registry that could be made but for what `more` says, below the group `errors`. */
function create(name: string, more: object = {}, from: object = premium): Wrong['send'] {
  return ['PUT', registry(name), { ...from, ...more }];
}

/** A registry of the Premium SKU but for one property that is wrong. */
function withProperty(properties: object): Wrong['send'] {
  return create('wrongone', { properties });
}

/** A property that the Basic SKU does not have. */
function gated(properties: object): Wrong['send'] {
  return create('wrongone', { properties }, basic);
}

function registry(name: string, group = '{g}'): string {
  return `${group}/providers/Microsoft.ContainerRegistry/registries/${name}`;
}

function ranges(count: number): object {
  const ipRules = Array.from({ length: count }, (_, index) => ({ value: `198.51.${index % 250}.${index % 7}` }));
  return { networkRuleSet: { ipRules } };
}

function rows(
  code: string,
  status: number,
  ...each: readonly (readonly [why: string, send: Wrong['send'], message: RegExp])[]
): readonly Wrong[] {
  return each.map(([why, send, message]) => ({ why, send, status, code, message }));
}

/** `{s}` is the subscription, `{g}` a group in it that holds the registries `taken` (Basic) and `locked`. */
const wrong: readonly Wrong[] = [
  ...rows(
    'InvalidResourceName',
    400,
    ['a registry name of 4 characters', create('four'), /between 5 and 50/],
    ['a registry name of 51 characters', create('a'.repeat(51)), /between 5 and 50/],
    ['a registry name with a dash', create('with-dash'), /alphanumeric/],
    ['a registry name with an underscore', create('with_line'), /alphanumeric/],
    ['a registry name with a dot', create('with.dots'), /alphanumeric/],
    ...['management', 'login', 'portal', 'graph', 'admin', 'localhost', 'Metrics'].map(
      (name) => [`the reserved name ${name}`, create(name), /reserved for the installation/] as const,
    ),
    ['a group name that ends with a dot', ['PUT', '{s}/resourcegroups/wrong.', { location: 'local' }], /no period/],
    ['a group name with a blank', ['PUT', '{s}/resourcegroups/a%20b', { location: 'local' }], /1 to 90 letters/],
    [
      'a group name of 91 characters',
      ['PUT', `{s}/resourcegroups/${'g'.repeat(91)}`, { location: 'local' }],
      /1 to 90/,
    ],
    ['a lock name with a blank', ['PUT', '{g}/providers/Microsoft.Authorization/locks/a%20b', {}], /1 to 90 letters/],
  ),
  ...rows(
    'LocationNotAvailableForResourceType',
    400,
    [
      'a registry in a location that is not there',
      create('wrongone', { location: 'mars' }),
      /mars.*eastus.*westeurope/s,
    ],
    ['a group in a location that is not there', ['PUT', '{s}/resourcegroups/x', { location: 'moon' }], /moon.*eastus/s],
  ),
  ...rows(
    'InvalidParameter',
    400,
    ['no location', create('wrongone', { location: undefined }), /location property is required/],
    ['an empty location', create('wrongone', { location: '' }), /location property is required/],
    ['no SKU', create('wrongone', {}, { location: 'eastus' }), /Basic, Standard or Premium/],
    ['a SKU that is not there', create('wrongone', { sku: { name: 'Huge' } }), /sku\.name/],
    ['the SKU of the past', create('wrongone', { sku: { name: 'Classic' } }), /sku\.name/],
    ['a SKU that is a word', create('wrongone', { sku: 'Basic' }), /sku/],
    ['tags that are a list', create('wrongone', { tags: ['a'] }), /tags/],
    ['a tag that is a number', create('wrongone', { tags: { a: 1 } }), /tags\.a/],
    ['a tag of 257 characters', create('wrongone', { tags: { a: 'x'.repeat(257) } }), /tags\.a/],
    ['properties that are a word', create('wrongone', { properties: 'all' }), /properties/],
    ['an admin user that is a word', withProperty({ adminUserEnabled: 'yes' }), /adminUserEnabled/],
    ['an unknown access', withProperty({ publicNetworkAccess: 'Perhaps' }), /publicNetworkAccess/],
    ['an unknown default action', withProperty({ networkRuleSet: { defaultAction: 'Ask' } }), /defaultAction/],
    ['an address that is none', withProperty({ networkRuleSet: { ipRules: [{ value: '1.2.3' }] } }), /ipRules\.0/],
    ['a network that is too long', withProperty({ networkRuleSet: { ipRules: [{ value: '1.2.3.4/33' }] } }), /ipRules/],
    ['an unknown bypass', withProperty({ networkRuleBypassOptions: 'Everyone' }), /networkRuleBypassOptions/],
    [
      'a retention of 366 days',
      withProperty({ policies: { retentionPolicy: { days: 366 } } }),
      /retentionPolicy\.days/,
    ],
    ['a retention of -1 days', withProperty({ policies: { retentionPolicy: { days: -1 } } }), /retentionPolicy\.days/],
    [
      'a soft delete of 91 days',
      withProperty({ policies: { softDeletePolicy: { retentionDays: 91 } } }),
      /retentionDays/,
    ],
    ['a policy that is half on', withProperty({ policies: { trustPolicy: { status: 'half' } } }), /trustPolicy/],
    ['an unknown label scope', withProperty({ autoGeneratedDomainNameLabelScope: 'World' }), /DomainNameLabelScope/],
    ['an unknown role mode', withProperty({ roleAssignmentMode: 'None' }), /roleAssignmentMode/],
    ['an unknown identity type', create('wrongone', { identity: { type: 'Robot' } }), /identity\.type/],
    [
      'an identity that is not there',
      create('wrongone', { identity: { type: 'UserAssigned', userAssignedIdentities: { '{g}/nothing': {} } } }),
      /does not exist/,
    ],
    [
      'user assigned, and none named',
      create('wrongone', { identity: { type: 'UserAssigned' } }),
      /at least one entry in userAssignedIdentities/,
    ],
    ['encryption without a key', withProperty({ encryption: { status: 'enabled' } }), /keyIdentifier/],
    [
      'encryption without an identity',
      withProperty({ encryption: { status: 'enabled', keyVaultProperties: { keyIdentifier: 'https://v.test/k' } } }),
      /needs a managed identity/,
    ],
    [
      'credentials while the admin user is off',
      ['POST', `${registry('taken')}/listCredentials`],
      /--admin-enabled true/,
    ],
    ['a renewal while the admin user is off', ['POST', `${registry('taken')}/regenerateCredential`, {}], /disabled/],
    ['a third password', ['POST', `${registry('admins')}/regenerateCredential`, { name: 'password3' }], /name/],
    ['a lock without a level', ['PUT', '{g}/providers/Microsoft.Authorization/locks/l', { properties: {} }], /level/],
  ),
  ...rows(
    'SkuNotSupported',
    400,
    ['anonymous pull', gated({ anonymousPullEnabled: true }), /Basic SKU.*anonymous pull \(from Standard on\)/],
    ['data endpoints', gated({ dataEndpointEnabled: true }), /dedicated data endpoints \(from Premium on\)/],
    ['no public access', gated({ publicNetworkAccess: 'Disabled' }), /public access off \(from Premium on\)/],
    ['network rules', gated({ networkRuleSet: { defaultAction: 'Deny' } }), /network rules \(from Premium on\)/],
    ['retention', gated({ policies: { retentionPolicy: { status: 'enabled' } } }), /retention.* \(from Premium on\)/],
    ['content trust', gated({ policies: { trustPolicy: { status: 'enabled' } } }), /content trust \(from Premium on\)/],
    ['no exports', gated({ policies: { exportPolicy: { status: 'disabled' } } }), /exports off \(from Premium on\)/],
    ['own keys', gated({ encryption: { status: 'enabled' } }), /customer-managed keys \(from Premium on\)/],
    ['two at once', gated({ anonymousPullEnabled: true, dataEndpointEnabled: true }), /anonymous pull.*; dedicated/],
    [
      'a feature added to a registry that is there',
      ['PATCH', registry('taken'), { properties: { dataEndpointEnabled: true } }],
      /'taken' is of the Basic SKU/,
    ],
  ),
  ...rows(
    'DowngradeNotAllowed',
    409,
    [
      'a downgrade in use',
      ['PATCH', registry('gifted'), { sku: { name: 'Basic' } }],
      /anonymous pull.*; dedicated data/,
    ],
    [
      'one that keeps one feature',
      ['PATCH', registry('gifted'), { sku: { name: 'Standard' } }],
      /while it uses: dedicated/,
    ],
  ),
  ...rows('QuotaExceeded', 409, ['201 address rules', withProperty(ranges(201)), /201 ipRules.*allows 200/]),
  ...rows(
    'AlreadyInUse',
    409,
    ['a name of another group', create('local'), /local/],
    ['a name in other letters', create('LOCAL'), /LOCAL|local/],
  ),
  ...rows(
    'InvalidResourceLocation',
    409,
    ['another location', create('taken', { location: 'westus' }, basic), /'eastus'.*cannot be moved to 'westus'/],
    ['a group elsewhere', ['PUT', '{g}', { location: 'westus' }], /already exists in location 'eastus'/],
  ),
  ...rows(
    'ResourceGroupNotFound',
    404,
    ['a registry in a group that is not there', ['PUT', registry('wrongone', '{s}/resourceGroups/no'), basic], /'no'/],
    ['reading there', ['GET', registry('wrongone', '{s}/resourceGroups/no')], /'no'/],
    ['the group itself', ['GET', '{s}/resourcegroups/no'], /'no' could not be found/],
    ['deleting it', ['DELETE', '{s}/resourcegroups/no'], /'no' could not be found/],
    ['listing in it', ['GET', '{s}/resourceGroups/no/resources'], /'no'/],
  ),
  ...rows(
    'ResourceNotFound',
    404,
    [
      'a registry that is not there',
      ['GET', registry('nothing')],
      /'Microsoft.ContainerRegistry\/registries\/nothing'/,
    ],
    ['changing it', ['PATCH', registry('nothing'), {}], /nothing/],
    ['its passwords', ['POST', `${registry('nothing')}/listCredentials`], /nothing/],
    ['a lock that is not there', ['GET', '{g}/providers/Microsoft.Authorization/locks/nothing'], /nothing/],
  ),
  ...rows(
    'ScopeLocked',
    409,
    ['deleting what is locked', ['DELETE', registry('locked')], /keep/],
    ['deleting the group around it', ['DELETE', '{g}'], /keep/],
    ['changing what is read only', ['PATCH', registry('frozen'), { tags: {} }], /still/],
  ),
  ...rows('OperationNotAllowed', 409, [
    'deleting the default registry',
    ['DELETE', registry('local', '{s}/resourceGroups/berth')],
    /answers on localhost/,
  ]),
  ...rows(
    'PreconditionFailed',
    412,
    ['a version that is not there', ['PATCH', registry('taken'), {}, { 'if-match': '"1234"' }], /./],
    ['making what is there', ['PUT', registry('taken'), basic, { 'if-none-match': '*' }], /./],
  ),
  ...rows(
    'ResourceMoveNotSupported',
    409,
    [
      'moving',
      ['POST', '{g}/moveResources', { resources: [], targetResourceGroup: '{s}/resourceGroups/berth' }],
      /move/,
    ],
    ['asking about it', ['POST', '{g}/validateMoveResources', { resources: [] }], /move/],
  ),
  ...rows('MissingApiVersionParameter', 400, ['no api-version', ['GET', '{g}?'], /api-version/]),
  ...rows(
    'InvalidApiVersionParameter',
    400,
    ...['latest', '2023', '2023-13-01', '2023-07-01-', '2023-07-01;drop', '20230701'].map(
      (version) => [`api-version ${version}`, ['GET', `{g}?api-version=${version}`], /YYYY-MM-DD/] as const,
    ),
  ),
  ...rows(
    'InvalidFilterInQueryString',
    400,
    ['a filter of words', ['GET', '{s}/resources?api-version=2021-04-01&$filter=give%20me%20all'], /\$filter/],
    ['a field that is not there', ['GET', "{s}/resources?api-version=2021-04-01&$filter=color%20eq%20'red'"], /color/],
    [
      'a character that nothing has',
      ['GET', "{s}/resources?api-version=2021-04-01&$filter=resourceGroup%20eq%20'%00'"],
      /U\+0000/,
    ],
    ['half a comparison', ['GET', '{s}/resources?api-version=2021-04-01&$filter=name%20eq'], /single quotes/],
  ),
  ...rows(
    'InvalidRequestContent',
    400,
    ['a page of no length', ['GET', '{s}/resources?$top=0&api-version=2021-04-01'], /\$top is a whole number/],
    [
      'a place in a list that nobody gave',
      [
        'GET',
        `{s}/resources?$skiptoken=${Buffer.from('/subscriptions/\0').toString('base64url')}&api-version=2021-04-01`,
      ],
      /\$skiptoken is not one that this server gave/,
    ],
    ['a body that is no JSON', ['PUT', registry('wrongone'), '{'], /could not be deserialized/],
    ['a body that is a list', ['PUT', registry('wrongone'), '[]'], /not a JSON object/],
    ['a member said twice', ['PUT', registry('wrongone'), '{"location":"a","location":"b"}'], /deserialized/],
    ['an address that leads out', ['GET', '{g}/..%2f..%2fetc'], /characters/],
  ),
  ...rows(
    'InvalidResourceType',
    404,
    ['a type that is not there', ['GET', '{g}/providers/Microsoft.Compute/virtualMachines/x'], /virtualMachines/],
    [
      'a deployment to the subscription',
      ['PUT', '{s}/providers/Microsoft.Resources/deployments/d', {}],
      /use az deployment group/,
    ],
    ['an action that is not there', ['POST', `${registry('taken')}/explode`], /explode/],
    ['a provider that is not there', ['GET', '{s}/providers/Contoso.Nothing'], /Contoso\.Nothing/],
  ),
  ...rows('SubscriptionNotFound', 404, [
    'another subscription',
    ['GET', '/subscriptions/00000000-0000-4000-8000-000000000000/resourcegroups'],
    /00000000-0000-4000-8000-000000000000/,
  ]),
  ...rows('OperationNotFound', 404, ['an operation that is not there', ['GET', '{s}/operationstatuses/none'], /./]),
  ...rows(
    'InvalidAuthenticationToken',
    401,
    ['no token', ['GET', '{g}', undefined, { authorization: '' }], /./],
    ['a forged token', ['GET', '{g}', undefined, { authorization: 'Bearer e30.e30.e30' }], /./],
  ),
];

const errorSchema = z.strictObject({
  error: z.object({
    code: z.string(),
    message: z.string(),
    target: z.string().exactOptional(),
    details: z.array(z.object({ code: z.string(), message: z.string() })).exactOptional(),
  }),
});

/** A line as it is typed, its exit code, and what the person reads. 3 is a thing that is not there, 2 what `az` found before its request. */
const typed: readonly (readonly [line: string, exitCode: number, read: RegExp])[] = [
  ['az group create -n wrong -l mars', 1, /\(LocationNotAvailableForResourceType\).*mars.*eastus.*westeurope/s],
  ['az group create -n wrong. -l eastus', 1, /\(InvalidResourceName\).*no period at the end/s],
  ['az group show -n nothing', 3, /\(ResourceGroupNotFound\) Resource group 'nothing' could not be found/],
  ['az group delete -n nothing -y', 3, /\(ResourceGroupNotFound\)/],
  ['az group delete -n errors -y', 1, /\(ScopeLocked\).*keep/s],
  ['az acr create -n four -g errors --sku Basic', 1, /\(InvalidResourceName\).*between 5 and 50/s],
  ['az acr create -n with_line -g errors --sku Basic', 1, /alphanumeric/],
  ['az acr create -n portal -g errors --sku Basic', 1, /\(InvalidResourceName\).*'portal' is reserved/s],
  ['az acr create -n taken2 -g errors --sku Basic -l mars', 1, /\(LocationNotAvailableForResourceType\).*eastus/s],
  ['az acr create -n taken2 -g nothing --sku Basic', 2, /\(ResourceGroupNotFound\)/],
  ['az acr create -n local -g errors --sku Basic', 1, /\(AlreadyInUse\)/],
  ['az acr create -n taken -g errors --sku Basic -l westus', 1, /\(InvalidResourceLocation\).*'eastus'/s],
  ['az acr show -n nothing -g errors', 3, /\(ResourceNotFound\).*registries\/nothing/s],
  ['az acr show -n nothing', 1, /could not be found in subscription/],
  ['az acr update -n taken --anonymous-pull-enabled true', 1, /\(SkuNotSupported\).*\(from Standard on\)/s],
  ['az acr update -n taken --data-endpoint-enabled true', 1, /\(SkuNotSupported\).*dedicated data endpoints/s],
  ['az acr update -n gifted --sku Basic', 1, /\(DowngradeNotAllowed\).*anonymous pull.*dedicated data endpoints/s],
  ['az acr update -n frozen --tags a=b', 1, /\(ScopeLocked\).*still/s],
  ['az acr delete -n locked -y', 1, /\(ScopeLocked\).*keep/s],
  ['az acr delete -n local -y', 1, /\(OperationNotAllowed\).*answers on localhost/s],
  ['az deployment sub list', 3, /use az deployment group/],
  ['az acr network-rule add -n gifted --ip-address 1.2.3', 1, /\(InvalidParameter\).*ipRules/s],
];

describe('wrong requests to the control plane', () => {
  const bench = useWorkbench();
  let rest: AzRest;

  const addressed = (text: string) =>
    text.replaceAll('{g}', '{s}/resourceGroups/errors').replaceAll('{s}', rest.subscription);
  const done = async (method: string, path: string, body: unknown) => await rest.done(method, addressed(path), body);

  before(async () => {
    rest = await azRest(bench().server);
    await done('PUT', '{g}', { location: 'eastus' });
    const features = { anonymousPullEnabled: true, dataEndpointEnabled: true };
    await done('PUT', registry('taken'), basic);
    await done('PUT', registry('gifted'), { ...premium, properties: features });
    await done('PUT', registry('admins'), { ...basic, properties: { adminUserEnabled: true } });
    for (const [name, lock, level] of [
      ['locked', 'keep', 'CanNotDelete'],
      ['frozen', 'still', 'ReadOnly'],
    ] as const) {
      await done('PUT', registry(name), basic);
      await done('PUT', `${registry(name)}/providers/Microsoft.Authorization/locks/${lock}`, { properties: { level } });
    }
  });

  for (const { why, send, status, code, message } of wrong) {
    test(`${code}: ${why}`, async () => {
      const [method, path, body, headers] = send;
      const text = typeof body === 'string' ? body : addressed(JSON.stringify(body ?? null));
      const answer = await rest.send(method, addressed(path), body === undefined ? undefined : text, headers);
      const answered = await answer.text();
      assert.equal(answer.status, status, answered);
      const { error } = errorSchema.parse(JSON.parse(answered));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.doesNotMatch(answered, /node_modules|\.ts\b|SQLITE|select /i);
      assert.match(answer.headers.get('x-ms-correlation-request-id') ?? '', /^[0-9a-f-]{36}$/);
    });
  }

  describe('as az 2.45 shows them', () => {
    const environment: Record<string, string> = { AZURE_CORE_COLLECT_TELEMETRY: 'no', AZURE_CORE_NO_COLOR: 'true' };

    before(async () => {
      const { server, folder } = bench();
      environment.AZURE_CONFIG_DIR = join(folder, 'az');
      const setUp = ['-euc', azSetUp(server)];
      environment.REQUESTS_CA_BUNDLE = (await bench().run('sh', setUp, { env: environment })).trim();
    });

    for (const [line, exitCode, read] of typed) {
      test(line, async () => {
        const outcome = await bench().try('sh', ['-euc', line], { env: environment });
        assert.match(outcome.output, read);
        assert.equal(outcome.code, exitCode, outcome.output);
      });
    }
  });

  test('nothing that was refused was made', async () => {
    const answer = await rest.send('GET', `${rest.subscription}/resources`);
    const { value } = z.object({ value: z.array(z.looseObject({ name: z.string() })) }).parse(await answer.json());
    assert.deepEqual(value.map(({ name }) => name).sort(), ['admins', 'frozen', 'gifted', 'local', 'locked', 'taken']);
  });
});
