import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type MountedApp, type MountedPerson, mountedApp } from '../test/support/mounted-app.ts';
import { roleContent } from '../test/support/role-content.ts';
import { basic } from '../test/support/sample-access.ts';
import * as acr from './api/acr/acr-routes.ts';
import { asOfResources } from './api/events/as-of-routes.ts';
import { eventsRoute } from './api/events/live-routes.ts';
import { identityEndpoint } from './api/identity/identity-endpoint.ts';
import { createMetrics } from './api/middleware/metrics.ts';
import * as oci from './api/oci/oci-routes.ts';
import { builtInRoles } from './features/access/role-built-ins.ts';
import { sharedPool } from './features/builds/agent-tokens.ts';
import { showAdminCredentials } from './features/identity/admin-account.ts';
import { createMachineSignIn } from './features/identity/machine-sign-in.ts';
import { type PermissionMode, permissionModes } from './features/registries/registry.ts';
import { systemIds as ids } from './platform/system-ids.ts';

// Every route that the program answers is in one of these tables, or under /admin or /graph, whose routes are all asked below.

/** Taken apart by tables of their own: those of the registry API and the metadata API, asked below. */
const contentPatterns = ['ALL /v2', 'ALL /v2/*', 'GET /v2/*', 'ALL /acr/v1/*', 'POST /acr/v1/_release', 'GET /events'];
/** What every request passes, and the resource manager, whose routes are asked in route-rights.test.ts. */
const frames = ['ALL /*'];
/** Open to everyone: where people show who they are, what clients have to know before that, and what tells of health. */
const open = [
  'GET /oauth2/token',
  'POST /oauth2/token',
  'POST /oauth2/exchange',
  'GET /adfs/.well-known/openid-configuration',
  'GET /:tenant/v2.0/.well-known/openid-configuration',
  'GET /:tenant/.well-known/openid-configuration',
  'GET /adfs/discovery/keys',
  'GET /:tenant/discovery/v2.0/keys',
  'GET /:tenant/discovery/keys',
  'GET /common/discovery/instance',
  'GET /common/userrealm/:user',
  ...['/adfs/oauth2', '/:tenant/oauth2/v2.0', '/:tenant/oauth2'].flatMap((base) => [
    `POST ${base}/token`,
    `POST ${base}/devicecode`,
    `GET ${base}/authorize`,
    `POST ${base}/authorize`,
  ]),
  'GET /common/oauth2/deviceauth',
  'POST /common/oauth2/deviceauth',
  'GET /common/oauth2/outside',
  'GET /common/oauth2/outside/callback',
  'GET /metadata/endpoints',
  'GET //metadata/endpoints',
  'GET /metadata/clouds',
  'GET /healthz',
  'GET /readyz',
  'GET /metrics',
  'GET /',
];
/** Of agents, which show the token of their pool. */
const agentPatterns = [
  'POST /agent/v1/lease',
  'POST /agent/v1/leases/:lease/heartbeat',
  'POST /agent/v1/leases/:lease/log',
  'GET /agent/v1/leases/:lease/context',
  'POST /agent/v1/leases/:lease/command',
  'POST /agent/v1/leases/:lease/secrets',
  'POST /agent/v1/leases/:lease/finish',
];
/** Of whoever has the address: it is signed, or names a secret of its own. */
const signedPatterns = ['ALL /build-files/source/*', 'ALL /build-files/logs/:registry/:file'];
const hookPatterns = [
  'POST /hooks/git/:id',
  'GET /eventsubscriptions/:name/validate',
  'POST /eventsubscriptions/:name/validate',
];
/** What routes of the directory need where that is not `read` for GET and `write` for all else. */
const directoryRights: Readonly<Record<string, 'read' | 'self'>> = {
  'GET /graph/v1.0/me': 'self',
  'GET /graph/v1.0/me/ownedObjects': 'self',
  'POST /graph/v1.0/directoryObjects/getByIds': 'read',
  'POST /graph/v1.0/directoryObjects/:id/checkMemberGroups': 'read',
  'POST /graph/v1.0/groups/:id/getMemberGroups': 'read',
  'POST /graph/v1.0/users/:id/getMemberGroups': 'read',
};
const nowhere = ['ALL /graph/*', 'ALL /agent/*'];

const digest = `sha256:${'0'.repeat(64)}`;
const guid = '00000000-0000-4000-8000-000000000000';
const ociPaths: Readonly<Record<string, string>> = {
  base: '/v2/',
  catalog: '/v2/_catalog',
  uploads: '/v2/team/app/blobs/uploads/',
  tags: '/v2/team/app/tags/list',
  blob: `/v2/team/app/blobs/${digest}`,
  manifest: '/v2/team/app/manifests/latest',
  upload: '/v2/team/app/blobs/uploads/nothing',
  referrers: `/v2/team/app/referrers/${digest}`,
};
const acrPaths: Readonly<Record<string, string>> = {
  catalog: '/acr/v1/_catalog',
  registryUsage: '/acr/v1/_usage',
  deletedCatalog: '/acr/v1/_deleted/_catalog',
  repository: '/acr/v1/team/app',
  tags: '/acr/v1/team/app/_tags',
  manifests: '/acr/v1/team/app/_manifests',
  usage: '/acr/v1/team/app/_usage',
  deletedTags: '/acr/v1/_deleted/team/app/_tags',
  deletedManifests: '/acr/v1/_deleted/team/app/_manifests',
  tag: '/acr/v1/team/app/_tags/latest',
  manifest: `/acr/v1/team/app/_manifests/${digest}`,
  contentUsage: '/acr/v1/team/app/_usage/latest',
  deletedManifest: `/acr/v1/_deleted/team/app/_manifests/${digest}`,
};

type ContentRequest = {
  readonly method: string;
  readonly path: string;
  readonly action: string;
  readonly body?: object;
};
type Routes = readonly { readonly method: string; readonly resource: string; readonly action: string }[];

const contentRequests: readonly ContentRequest[] = [
  ...requestsOf([...oci.registryRoutes, ...oci.repositoryRoutes, ...oci.contentRoutes], ociPaths, ''),
  ...requestsOf([...acr.registryRoutes, ...acr.repositoryRoutes, ...acr.contentRoutes], acrPaths, ''),
  ...requestsOf([...asOfResources], ociPaths, '?asOf=2026-01-01T00:00:00Z'),
  { method: 'GET', path: '/events', action: eventsRoute.action },
  { method: 'GET', path: '/acr/v1/team/app/_diff?from=2026-01-01T00:00:00Z', action: 'metadata_read' },
  { method: 'POST', path: '/acr/v1/team/app/_rollback', action: 'push', body: { asOf: '2026-01-01T00:00:00Z' } },
  {
    method: 'PATCH',
    path: `/acr/v1/team/app/_manifests/${digest}`,
    action: 'quarantine_write',
    body: { quarantineState: 'Failed' },
  },
  {
    method: 'PATCH',
    path: `/acr/v1/team/app/_manifests/${digest}`,
    action: 'metadata_write',
    body: { writeEnabled: false },
  },
  {
    method: 'POST',
    path: '/acr/v1/_release',
    action: 'push',
    body: { moves: [{ repository: 'team/app', tag: 'latest', digest }] },
  },
];

function requestsOf(routes: Routes, paths: Readonly<Record<string, string>>, query: string): ContentRequest[] {
  return routes.map(({ method, resource, action }) => {
    const path = paths[resource] ?? assert.fail(`${method} ${resource} has no address in this test`);
    return { method, path: `${path}${query}`, action };
  });
}

let mounted: MountedApp;
let owner: MountedPerson;
let admin: string;
const people = new Map<string, MountedPerson>();

before(async () => {
  mounted = await mountedApp({ 'oidc-issuer': 'https://identity.test', 'oidc-client-id': 'berth' });
  owner = await mounted.person('owner-of-all', { isOwner: true });
  const registry = mounted.features.directory.byName('local') ?? assert.fail();
  const { passwords } = await showAdminCredentials(mounted.data, mounted.data.database.read, registry.uid);
  admin = basic('local', passwords[0]?.value ?? '');
  const subscription = registry.resourceKey.split('/').slice(0, 3).join('/');
  for (const { key, name } of builtInRoles) {
    const person = await mounted.person(`with-${key}`);
    people.set(name, person);
    const scope = `${subscription}/providers/Microsoft.Authorization`;
    const properties = { roleDefinitionId: `${scope}/roleDefinitions/${key}`, principalId: person.objectId };
    const answer = await arm('PUT', `${scope}/roleAssignments/${ids.guid()}`, { properties });
    assert.equal(answer.status, 201, await answer.text());
  }
});
after(() => mounted.close());

async function arm(method: string, path: string, body: unknown): Promise<Response> {
  const authorization = await owner.bearer('resourceManager');
  return await mounted.ask(method, `${path}?api-version=2022-04-01`, { authorization, body });
}

/** Status alone: what streams is let go. */
async function statusOf(method: string, path: string, authorization?: string, body?: object): Promise<number> {
  const answer = await mounted.ask(method, path, { ...(authorization && { authorization }), ...(body && { body }) });
  await answer.body?.cancel();
  return answer.status;
}

function patterns(): string[] {
  const all = mounted.app.routes.map(({ method, path }) => `${method} ${path.replace(/\{[^}]*\}(\}|[^/]*\})?/, '')}`);
  return [...new Set(all.map((each) => each.replace(/^(\w+ \/:tenant)[^/]*/, '$1')))];
}

/** What people show elsewhere, and a stranger's nothing. */
async function everything(): Promise<(readonly [who: string, authorization: string | undefined])[]> {
  return [
    ['a stranger', undefined],
    ['the owner', owner.header],
    ['the admin account', admin],
    ['a token of the owner', await owner.bearer('resourceManager')],
    ...[...people].map(([role, { header }]) => [role, header] as const),
  ];
}

function isRefused(status: number): boolean {
  return status === 401 || status === 403;
}

test('every route is in a table', () => {
  const building = [...agentPatterns, ...signedPatterns, ...hookPatterns];
  const known = new Set([...contentPatterns, ...frames, ...open, ...nowhere, ...building]);
  const strange = patterns().filter((each) => !known.has(each) && !/^\w+ \/(admin|graph\/v1\.0)\//.test(each));
  assert.deepEqual(strange, [], 'say in this file who may use them, and let a test ask them');
  const mountedOnes = new Set(patterns());
  assert.deepEqual(
    [...known].filter((each) => !mountedOnes.has(each)),
    [],
    'these are gone',
  );
});

test('the endpoint of managed identities gives nothing to a machine that nobody bound', async () => {
  const { data, features } = mounted;
  const parts = { ...data, ...features, domain: 'berth.localhost', host: '127.0.0.1' };
  const metrics = createMetrics({ droppedLogLines: () => 0 });
  const app = identityEndpoint({ ...parts, metrics, machineSignIn: createMachineSignIn(parts) });
  const routes = app.routes.filter(({ path }) => path !== '/*').map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual(
    [...new Set(routes)],
    ['GET /metadata/identity/oauth2/token', 'GET /msi/token', 'POST /msi/token', 'POST /oauth2/token'],
  );
  for (const route of routes) {
    const [method = '', path = ''] = route.split(' ');
    const address = `http://127.0.0.1${path}?resource=https://management.berth.localhost/&api-version=2019-08-01`;
    for (const shown of [
      {},
      { metadata: 'true' },
      { 'x-identity-header': 'guessed' },
      { authorization: owner.header },
    ]) {
      const headers = new Headers({ host: '127.0.0.1', ...shown });
      const { status } = await app.fetch(new Request(address, { method, headers }));
      assert([400, 401, 403].includes(status), `${route} ${JSON.stringify(shown)} ${status}`);
    }
  }
});

permissionModes.forEach((mode: PermissionMode, column) => {
  test(`every role on every route of registries: ${mode}`, async () => {
    const registry = mounted.features.directory.byName('local') ?? assert.fail();
    const answer = await arm('PATCH', registry.resourceKey, { properties: { roleAssignmentMode: mode } });
    assert.equal(answer.status, 200, await answer.text());
    for (const { method, path, action, body } of contentRequests) {
      assert.equal(await statusOf(method, path, undefined, body), 401, `a stranger: ${method} ${path}`);
      assert(!isRefused(await statusOf(method, path, owner.header, body)), `the owner: ${method} ${path}`);
      assert(!isRefused(await statusOf(method, path, admin, body)), `the admin account: ${method} ${path}`);
      for (const [role, { header }] of people) {
        const given = ['connect', ...(roleContent[role]?.[column] ?? '').split(' ')];
        const status = await statusOf(method, path, header, body);
        const what = `${role}: ${method} ${path} ${status}`;
        if (given.includes(action)) assert(!isRefused(status), what);
        else assert.equal(status, 403, what);
      }
    }
  });
});

test('nobody but owners administers, whatever they show', async () => {
  const routes = mounted.app.routes.filter(({ path }) => path.startsWith('/admin/'));
  assert(routes.length > 15);
  const exchanged = await mounted.ask('GET', '/oauth2/token?service=local.berth.localhost:5443&scope=repository:*:*', {
    authorization: owner.header,
  });
  assert.equal(exchanged.status, 200);
  const { access_token: token } = JSON.parse(await exchanged.text());
  const bearers = [`Bearer ${token}`, await owner.bearer('resourceManager'), await owner.bearer('graph')];
  const plain = await mounted.person('plain-user', { kind: 'user' });
  const addressOf = (path: string) =>
    path.replace(':name', 'local').replace(':digest', digest).replace(/:\w+/g, 'nothing');
  // At once, as whoever brings an unknown key waits.
  const shown = routes.flatMap(({ method, path }) => bearers.map((bearer) => ({ method, path, bearer })));
  const answers = await Promise.all(shown.map((each) => statusOf(each.method, addressOf(each.path), each.bearer)));
  answers.forEach((status, index) => {
    assert.equal(status, 401, `a token: ${shown[index]?.method} ${shown[index]?.path}`);
  });
  for (const { method, path } of routes) {
    const address = addressOf(path);
    const what = `${method} ${path}`;
    assert.equal(await statusOf(method, address), 401, what);
    for (const [role, { header }] of [...people, ['user', plain] as const])
      assert.equal(await statusOf(method, address, header), 403, `${role}: ${what}`);
    assert.equal(await statusOf(method, address, admin), 403, `the admin account: ${what}`);
    // To see that the refusals are of somebody else's request, not of the address.
    if (method === 'GET') assert(!isRefused(await statusOf(method, address, owner.header)), `the owner: ${what}`);
  }
});

test('runs are handed to agents alone, with the token of a pool', async () => {
  const { token } = await mounted.builds.agentTokens.create(sharedPool, 'test');
  const shown = await everything();
  for (const pattern of agentPatterns) {
    const [method = '', path = ''] = pattern.split(' ');
    const address = path.replace(':lease', 'nothing');
    for (const [who, authorization] of shown)
      assert.equal(await statusOf(method, address, authorization), 401, `${who}: ${pattern}`);
    const status = await statusOf(method, address, `Bearer ${token}`);
    // The lease is nobody's, or the message is empty.
    assert([400, 410].includes(status), `an agent: ${pattern} ${status}`);
  }
  assert.equal(await statusOf('GET', '/agent/v1/anything'), 401);
});

test('files for runs and their logs are for whoever has the signed address, and for nobody else', async () => {
  const registry = mounted.features.directory.byName('local') ?? assert.fail();
  const { addresses, contexts } = mounted.builds;
  const source = `/build-files/${await contexts.begin(registry.uid)}`;
  const log = `/build-files/logs/${registry.uid}/ca1.log`;
  const shown = await everything();
  for (const [who, authorization] of shown)
    for (const [method, path] of [
      ['PUT', source],
      ['PUT', `${source}?comp=blocklist`],
      ['GET', log],
      ['HEAD', log],
      ['GET', addresses.sign(log, 'cw')],
      ['PUT', addresses.sign(source, 'r')],
      ['PUT', source + addresses.sign(log, 'cw').slice(log.length)],
    ] as const)
      assert.equal(await statusOf(method, path, authorization), 403, `${who}: ${method} ${path}`);
  assert.equal(await statusOf('PUT', `${addresses.sign(source, 'cw')}&comp=block&blockid=MDAwMQ==`), 201);
  assert.equal(await statusOf('GET', addresses.sign(log, 'r')), 404);
});

test('a git host is let in by the address that it was given; others are told that there is nothing', async () => {
  for (const [who, authorization] of await everything())
    for (const id of ['nothing', '0'.repeat(32)])
      assert.equal(await statusOf('POST', `/hooks/git/${id}`, authorization, {}), 404, who);
});

test('the directory is changed by owners, seen by people, and tells everyone who they are', async () => {
  const user = await mounted.person('plain-person', { kind: 'user' });
  const service = people.get('Owner') ?? assert.fail();
  const routes = mounted.app.routes.filter(({ path }) => path.startsWith('/graph/v1.0/'));
  assert(routes.length > 30);
  for (const { method, path } of routes) {
    const what = `${method} ${path}`;
    const right = directoryRights[what] ?? (method === 'GET' ? 'read' : 'write');
    const address = path.replace(/:\w+/g, guid);
    const ask = async (person: MountedPerson, resource: 'graph' | 'resourceManager' = 'graph') =>
      await statusOf(method, address, await person.bearer(resource));
    assert.equal(await statusOf(method, address), 401, what);
    assert.equal(await ask(owner, 'resourceManager'), 401, `a token for another resource: ${what}`);
    assert.equal((await ask(service)) === 403, right !== 'self', `a service principal: ${what}`);
    assert.equal((await ask(user)) === 403, right === 'write', `a person: ${what}`);
    assert(!isRefused(await ask(owner)), `the owner: ${what}`);
  }
});
