import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { roleContent } from '../../../test/support/role-content.ts';
import { sampleCircumstances } from '../../../test/support/sample-access.ts';
import { type SamplePerson, type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Action } from '../../features/access/decision.ts';
import { builtInRoles } from '../../features/access/role-built-ins.ts';
import { type PermissionMode, permissionModes } from '../../features/registries/registry.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import * as acr from '../acr/acr-routes.ts';
import type { ArmType } from '../arm/arm-type.ts';
import { asOfResources } from '../events/as-of-routes.ts';
import { eventsRoute } from '../events/live-routes.ts';
import { repositoryTagMoves } from '../events/tag-moves-routes.ts';
import * as oci from '../oci/oci-routes.ts';

const registries = 'Microsoft.ContainerRegistry/registries';
const isRead = (operation: string) => operation.endsWith('/read');
const isBelow =
  (...words: readonly string[]) =>
  (operation: string) =>
    words.some((word) => operation.startsWith(`${registries}/${word}/`));
const isOneOf =
  (...words: readonly string[]) =>
  (operation: string) =>
    words.some((word) => operation === `${registries}/${word}`);
const isAuthorization = (operation: string) => operation.startsWith('Microsoft.Authorization/');
const around = (operation: string) =>
  (isAuthorization(operation) && isRead(operation)) ||
  operation === 'Microsoft.Resources/subscriptions/resourceGroups/read';

/** What each role gives on resources; the others give nothing there. Source: Azure built-in roles. */
const onResources: Readonly<Record<string, (operation: string) => boolean>> = {
  Owner: () => true,
  Contributor: (operation) => !isAuthorization(operation) || isRead(operation),
  Reader: isRead,
  'User Access Administrator': (operation) => isRead(operation) || isAuthorization(operation),
  'Role Based Access Control Administrator': (operation) =>
    isRead(operation) || /\/roleAssignments\/(write|delete)$/.test(operation),
  'Managed Identity Operator': (operation) =>
    around(operation) || (isRead(operation) && operation.includes('/userAssignedIdentities/')),
  'Managed Identity Contributor': (operation) => around(operation) || operation.includes('/userAssignedIdentities/'),
  'Container Registry Configuration Reader and Data Access Configuration Reader': (operation) =>
    around(operation) ||
    isOneOf(
      'read',
      'listCredentials/action',
      'webhooks/getCallbackConfig/action',
      'webhooks/listEvents/action',
    )(operation) ||
    (isBelow('webhooks', 'scopeMaps', 'tokens', 'replications', 'privateEndpointConnections')(operation) &&
      isRead(operation)) ||
    isOneOf('listUsages/read', 'privateLinkResources/read', 'listPolicies/read')(operation),
  'Container Registry Contributor and Data Access Configuration Administrator': (operation) =>
    around(operation) ||
    isOneOf('read', 'write', 'delete', 'listCredentials/action', 'regenerateCredential/action')(operation) ||
    isOneOf('generateCredentials/action', 'listUsages/read', 'privateLinkResources/read')(operation) ||
    isBelow('webhooks', 'scopeMaps', 'tokens', 'replications', 'privateEndpointConnections')(operation),
  'Container Registry Data Importer and Data Reader': isOneOf('read', 'importImage/action'),
  'Container Registry Tasks Contributor': (operation) =>
    around(operation) ||
    isOneOf('read', 'scheduleRun/action', 'listBuildSourceUploadUrl/action')(operation) ||
    isBelow('tasks', 'taskRuns', 'runs', 'agentPools')(operation),
  'Container Registry Transfer Pipeline Contributor': (operation) =>
    around(operation) ||
    isOneOf('read')(operation) ||
    isBelow('exportPipelines', 'importPipelines', 'pipelineRuns')(operation),
  'Container Registry Cache Rule Administrator': isBelow('cacheRules'),
  'Container Registry Cache Rule Reader': (operation) => isBelow('cacheRules')(operation) && isRead(operation),
  'Container Registry Credential Set Administrator': isBelow('credentialSets'),
  'Container Registry Credential Set Reader': (operation) => isBelow('credentialSets')(operation) && isRead(operation),
};

const contentRoutes = [oci, acr].flatMap((each) => [
  ...each.registryRoutes.map(({ method, resource, action }) => ({ method, resource, action, isRegistry: true })),
  ...each.repositoryRoutes.map(({ method, resource, action }) => ({ method, resource, action, isRegistry: false })),
  ...each.contentRoutes.map(({ method, resource, action }) => ({ method, resource, action, isRegistry: false })),
]);
const otherRoutes = [
  { ...eventsRoute, isRegistry: true },
  ...asOfResources.map((route) => ({ ...route, isRegistry: false })),
  ...repositoryTagMoves.map(({ method, word, action }) => ({ method, resource: word, action, isRegistry: false })),
];

forEachDatabase((name, open) => {
  // Rules are the same on both; what they read is tested on both in role-access.test.ts.
  if (name !== 'sqlite') return;
  let sample: SampleRoles;
  const people = new Map<string, SamplePerson>();

  before(async () => {
    sample = await sampleRoles(await open());
    for (const role of builtInRoles) {
      const person = await sample.person(role.key);
      people.set(role.name, person);
      await sample.assign(person, role.key, sample.subscription);
    }
  });
  after(() => sample.close());

  const personOf = (role: string) => people.get(role) ?? assert.fail(role);
  const switchTo = async (roleAssignmentMode: PermissionMode) => {
    const answer = await sample.send('PATCH', sample.contoso, { properties: { roleAssignmentMode } });
    assert.equal(answer.status, 200);
    await sample.here.directory.refresh();
  };
  const repository = parseRepositoryName('team/app');
  const registry = () => sample.here.directory.byUid(sample.registryUid) ?? assert.fail();
  const errorOf = async (header: string, action: Action, isRegistry: boolean): Promise<string> => {
    try {
      await sample.here.authorize({
        registry: registry(),
        authorization: header,
        action,
        ...(isRegistry ? {} : { repository }),
        circumstances: sampleCircumstances,
      });
      return 'allowed';
    } catch (error) {
      if (error instanceof BerthError) return error.error;
      throw error;
    }
  };
  const tokenOf = async ({ header }: SamplePerson): Promise<string> => {
    const { accessToken } = await sample.here.issueTokens({
      registry: registry(),
      credentials: { kind: 'header', authorization: header },
      asked: [
        { type: 'repository', name: repository, actions: ['*'] },
        { type: 'registry', name: 'catalog', actions: ['*'] },
        { type: 'registry', name: 'deleted_catalog', actions: ['*'] },
      ],
      wantsRefreshToken: false,
      circumstances: sampleCircumstances,
    });
    return `Bearer ${accessToken}`;
  };

  permissionModes.forEach((mode, column) => {
    test(`every role on every route of registries, by secret and by token: ${mode}`, async () => {
      await switchTo(mode);
      for (const role of builtInRoles) {
        const person = personOf(role.name);
        const bearer = await tokenOf(person);
        const given = ['connect', ...(roleContent[role.name]?.[column] ?? '').split(' ')];
        for (const { method, resource, action, isRegistry } of [...contentRoutes, ...otherRoutes]) {
          const isGiven = given.includes(action);
          const what = `${role.name}: ${method} ${resource}`;
          assert.equal(await errorOf(person.header, action, isRegistry), isGiven ? 'allowed' : 'denied', what);
          assert.equal(await errorOf(bearer, action, isRegistry), isGiven ? 'allowed' : 'insufficientScope', what);
        }
      }
    });
  });

  /** A resource of each type that does not exist, so that whoever is let in changes nothing. */
  const addressOf = ({ type, level }: ArmType): string => {
    const [namespace = '', ...words] = type.split('/');
    switch (level) {
      case 'subscription':
        return `${sample.subscription}/resourceGroups/nothing1`;
      case 'extension':
        return `${sample.contoso}/providers/${type}/${ids.guid()}`;
      default:
        return `${sample.group}/providers/${namespace}/${words.map((word) => `${word}/nothing1`).join('/')}`;
    }
  };
  const requestsOn = (type: ArmType): readonly (readonly [method: string, path: string, operation: string])[] => {
    const name = type.level === 'subscription' ? 'Microsoft.Resources/subscriptions/resourceGroups' : type.type;
    const path = addressOf(type);
    const actions = Object.entries(type.actions ?? {}).map(([word, { method }]) => {
      const verb = method === 'POST' ? 'action' : 'read';
      return [method, `${path}/${word}`, `${name}/${word}/${verb}`] as const;
    });
    return [
      ['GET', path, `${name}/read`],
      ['PUT', path, `${name}/write`],
      ['PATCH', path, `${name}/write`],
      ['DELETE', path, `${name}/delete`],
      ...actions,
    ];
  };

  test('every role on every type of resource and its actions', async () => {
    const requests = sample.types.flatMap(requestsOn);
    assert(requests.length > 40);
    // The tables above spell words as Azure does; addresses have them in lower case.
    const gives = (role: string, operation: string) => {
      const known = onResources[role];
      return known?.(operation) === true || known?.(spelled(operation)) === true;
    };
    for (const { name } of builtInRoles)
      for (const [method, path, operation] of requests) {
        const answer = await sample.send(method, path, method === 'GET' ? undefined : {}, personOf(name).as);
        const isRefused = answer.status === 403;
        assert.equal(isRefused, !gives(name, operation), `${name}: ${method} ${operation} ${answer.status}`);
      }
  });
});

const spellings = [
  ...[
    'listCredentials',
    'regenerateCredential',
    'generateCredentials',
    'listUsages',
    'privateLinkResources',
    'listPolicies',
  ],
  ...['privateEndpointConnections', 'getCallbackConfig', 'listEvents', 'importImage', 'scheduleRun'],
];

function spelled(operation: string): string {
  return operation
    .split('/')
    .map((word) => spellings.find((each) => each.toLowerCase() === word) ?? word)
    .join('/');
}
