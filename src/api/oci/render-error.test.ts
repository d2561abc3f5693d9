import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hono } from 'hono';
import { BerthError, type ErrorDetail, type ErrorName, errorCatalogue } from '../../core/errors.ts';
import { parseRegistryName } from '../../core/registry-name.ts';
import { openAccess } from '../../features/registries/registry.ts';
import { errorListSchema } from '../../wire/oci/lists.ts';
import type { Env } from '../middleware/env.ts';
import { renderOciError } from './render-error.ts';

const call: Env['Variables']['call'] = {
  correlationId: 'id',
  address: '192.0.2.1',
  origin: 'https://contoso.example:5443',
  userAgent: undefined,
  registry: {
    uid: 'registry',
    tenantUid: 'tenant',
    name: parseRegistryName('contoso'),
    loginServer: 'contoso.example',
    sku: 'Premium',
    isAdminEnabled: true,
    isAnonymousPullEnabled: false,
    resourceKey: '/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/contoso',
    ...openAccess,
  },
};

async function render(error: BerthError): Promise<Response> {
  const app = new Hono<Env>();
  app.onError((_failure, c) => renderOciError(c, error));
  app.all('*', (c) => {
    c.set('call', call);
    throw error;
  });
  return await app.request('/v2/');
}

const names: readonly ErrorName[] = Object.keys(errorCatalogue).filter(
  (name): name is ErrorName => name in errorCatalogue,
);

for (const name of names.filter((each) => each !== 'networkDenied')) {
  test(`${name} is answered as its row says`, async () => {
    const { code, status, message } = errorCatalogue[name];
    const answer = await render(new BerthError(name, { about: 'x' }, { cause: new Error('inner secret') }));
    assert.equal(answer.status, status);
    assert.match(answer.headers.get('content-type') ?? '', /^application\/json\b/);
    const body: unknown = await answer.json();
    assert.deepEqual(errorListSchema.parse(body), { errors: [{ code, message, detail: { about: 'x' } }] });
    assert(!JSON.stringify(body).includes('inner'));
    assert.equal(answer.headers.get('retry-after'), null);
    const isChallenged = ['unauthorized', 'credentialsWrong', 'insufficientScope'].includes(name);
    assert.equal(answer.headers.get('www-authenticate') !== null, isChallenged);
  });
}

test('a client that the network rules keep out is told its address', async () => {
  const answer = await render(new BerthError('networkDenied'));
  assert.equal(answer.status, 403);
  const message = `client with IP '${call.address}' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.`;
  assert.deepEqual(await answer.json(), { errors: [{ code: 'DENIED', message }] });
});

test('an error without detail has none in its body', async () => {
  const body: unknown = await (await render(new BerthError('routeUnknown'))).json();
  assert.deepEqual(body, { errors: [{ code: 'NOT_FOUND', message: errorCatalogue.routeUnknown.message }] });
});

test('Retry-After is in whole seconds, rounded up', async () => {
  const answer = await render(new BerthError('busy', undefined, { retryAfterSeconds: 1.2 }));
  assert.equal(answer.headers.get('retry-after'), '2');
});

const realm = 'Bearer realm="https://contoso.example:5443/oauth2/token",service="contoso.example"';
const scope = (name: string, action: string) => ({ Type: 'repository', Name: name, Action: action });

const challenges: readonly [what: string, error: ErrorName, detail: ErrorDetail | undefined, expected: string][] = [
  ['without a scope', 'unauthorized', undefined, realm],
  ['with an empty list', 'unauthorized', [], realm],
  ['with one action', 'unauthorized', [scope('app', 'pull')], `${realm},scope="repository:app:pull"`],
  [
    'with two actions',
    'unauthorized',
    [scope('app', 'pull'), scope('app', 'push')],
    `${realm},scope="repository:app:pull,push"`,
  ],
  [
    'with two repositories',
    'unauthorized',
    [scope('a', 'pull'), scope('b', 'push'), scope('a', 'push')],
    `${realm},scope="repository:a:pull,push repository:b:push"`,
  ],
  [
    'for the catalog',
    'unauthorized',
    [{ Type: 'registry', Name: 'catalog', Action: '*' }],
    `${realm},scope="registry:catalog:*"`,
  ],
  [
    'for a token that is too narrow',
    'insufficientScope',
    [scope('app', 'delete')],
    `${realm},scope="repository:app:delete",error="insufficient_scope"`,
  ],
];

for (const [what, error, detail, expected] of challenges) {
  test(`the challenge tells where to get a token: ${what}`, async () => {
    assert.equal((await render(new BerthError(error, detail))).headers.get('www-authenticate'), expected);
  });
}

test('a refusal of somebody signed in carries no challenge', async () => {
  assert.equal((await render(new BerthError('denied', [scope('app', 'push')]))).headers.get('www-authenticate'), null);
});
