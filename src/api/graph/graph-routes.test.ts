import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleOrigin as origin, type SampleTenant, sampleTenant } from '../../../test/support/sample-tenant.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { tenantStreamOf } from '../../platform/journal/journal.ts';
import { graphErrorSchema } from '../../wire/graph/graph-messages.ts';

const objectSchema = z.looseObject({ id: z.string(), appId: z.string().exactOptional() });
const listSchema = z.object({
  value: z.array(z.union([objectSchema, z.string()])),
  '@odata.nextLink': z.string().exactOptional(),
});
const tokenSchema = z.looseObject({ access_token: z.string() });
const secretSchema = z.looseObject({ secretText: z.string(), keyId: z.string() });
const azureCli = '04b07795-8ddb-461a-bbee-02f9e1bf7b46';

forEachDatabase((_, open) => {
  let tenant: SampleTenant;
  let owner: string;

  before(async () => {
    tenant = await sampleTenant(await open(), new HeldClock());
    const { clientId, clientSecret } = tenant.owner;
    owner = (await signIn(clientId, clientSecret)) ?? assert.fail('the owner cannot sign in');
  });

  const tokenOf = async (form: Readonly<Record<string, string>>) => {
    const body = new URLSearchParams({ ...form, scope: `${origin}/graph/.default` });
    const response = await tenant.app.request('/adfs/oauth2/token', { method: 'POST', body });
    return response.status === 200 ? tokenSchema.parse(await response.json()).access_token : undefined;
  };
  const signIn = (clientId: string, secret: string) =>
    tokenOf({ grant_type: 'client_credentials', client_id: clientId, client_secret: secret });
  const personSignIn = (username: string, password: string) =>
    tokenOf({ grant_type: 'password', client_id: azureCli, username, password });
  const call = async (method: string, path: string, body?: unknown, token = owner) =>
    await tenant.app.request(`/graph/v1.0${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const made = async (path: string, body: unknown) => {
    const response = await call('POST', path, body);
    assert.equal(response.status, 201, await response.clone().text());
    return objectSchema.parse(await response.json());
  };
  const list = async (path: string) => listSchema.parse(await (await call('GET', path)).json());
  const status = async (...request: Parameters<typeof call>) => (await call(...request)).status;
  const user = (name: string) => ({
    accountEnabled: true,
    displayName: name,
    mailNickname: name,
    userPrincipalName: `${name}@berth.test`,
    passwordProfile: { password: 'Correct-horse', forceChangePasswordNextSignIn: false },
  });
  const application = async (displayName: string) => {
    const app = await made('/applications', { displayName, keyCredentials: [] });
    return { id: app.id, appId: app.appId ?? assert.fail() };
  };
  const addPassword = async (path: string) =>
    secretSchema.parse(
      await (await call('POST', `${path}/addPassword`, { passwordCredential: { displayName: 'x' } })).json(),
    );

  test('an application signs in only while it has a service principal; both kinds of secret work, and end when removed', async () => {
    const { id, appId } = await application('builder');
    const ofApplication = await addPassword(`/applications/${id}`);
    assert.equal(await signIn(appId, ofApplication.secretText), undefined);
    const { id: first } = await made('/servicePrincipals', { appId, accountEnabled: true });
    assert.equal(await status('POST', '/servicePrincipals', { appId }), 409);
    const ofPrincipal = await addPassword(`/servicePrincipals/${first}`);
    const token = (await signIn(appId, ofApplication.secretText)) ?? assert.fail();
    assert.ok(await signIn(appId, ofPrincipal.secretText));
    assert.equal(await status('GET', '/groups', undefined, token), 403, 'it owns nothing');

    await call('PATCH', `/servicePrincipals/${first}`, { accountEnabled: false });
    assert.equal(await signIn(appId, ofPrincipal.secretText), undefined);
    assert.equal(await status('GET', '/groups', undefined, token), 401);
    await call('PATCH', `/servicePrincipals/${first}`, { accountEnabled: true });
    assert.equal(await status('DELETE', `/servicePrincipals/${first}`), 204);
    assert.equal(await signIn(appId, ofApplication.secretText), undefined);
    const { id: second } = await made('/servicePrincipals', { appId });
    assert.notEqual(second, first);
    assert.equal(await signIn(appId, ofPrincipal.secretText), undefined);
    assert.ok(await signIn(appId, ofApplication.secretText));
    assert.equal(await status('GET', '/groups', undefined, token), 401, 'the token of the first one is dead');
    assert.equal(await status('POST', `/applications/${id}/removePassword`, { keyId: ofApplication.keyId }), 204);
    assert.equal(await signIn(appId, ofApplication.secretText), undefined);
    assert.equal(await status('DELETE', `/applications/${id}`), 204);
    assert.equal(await status('GET', `/servicePrincipals/${second}`), 404);
  });

  test('a secret is in one answer only, and in no event', async () => {
    const { id } = await application('silent');
    const { secretText } = await addPassword(`/applications/${id}`);
    assert.equal((await (await call('GET', `/applications/${id}`)).text()).includes(secretText), false);
    const events = await tenant.journal.after(await tenant.journal.start(tenantStreamOf(tenant.tenantUid)), 500);
    assert.ok(events.some(({ type }) => type === 'application.passwordAdded'));
    assert.equal(JSON.stringify(events).includes(secretText), false);
  });

  test('a person signs in, sees the directory, changes nothing; a new password ends what the old one began', async () => {
    const { id } = await made('/users', user('ann'));
    const token = (await personSignIn('ANN@berth.test', 'Correct-horse')) ?? assert.fail();
    assert.equal(objectSchema.parse(await (await call('GET', '/me', undefined, token)).json()).id, id);
    assert.equal(await status('GET', '/users', undefined, token), 200);
    const refused = await call('POST', '/groups', { displayName: 'x' }, token);
    assert.equal(refused.status, 403);
    assert.match(graphErrorSchema.parse(await refused.json()).error.message, /Insufficient privileges/);
    assert.equal(await status('PATCH', `/users/${id}`, { passwordProfile: { password: 'Another-horse' } }), 204);
    assert.equal(await status('GET', '/me', undefined, token), 401);
    assert.equal(await personSignIn('ann@berth.test', 'Correct-horse'), undefined);
    assert.ok(await personSignIn('ann@berth.test', 'Another-horse'));
    assert.equal(await status('POST', '/users', user('ANN')), 409);
  });

  test('groups contain people and groups, in circles too', async () => {
    const group = (name: string) =>
      made('/groups', { displayName: name, mailNickname: name, mailEnabled: false, securityEnabled: true });
    const [inner, outer, person] = [await group('inner'), await group('outer'), await made('/users', user('bob'))];
    const add = (into: string, member: string) =>
      status('POST', `/groups/${into}/members/$ref`, {
        '@odata.id': `${origin}/graph/v1.0/directoryObjects/${member}`,
      });
    assert.equal(await add(inner.id, person.id), 204);
    assert.equal(await add(outer.id, inner.id), 204);
    assert.equal(await add(inner.id, outer.id), 204);
    assert.equal(await add(inner.id, person.id), 409);
    assert.equal(await add(inner.id, inner.id), 400);
    assert.equal(await add(inner.id, '00000000-0000-0000-0000-000000000000'), 404);
    const groups = async () => {
      const answer = await call('POST', `/users/${person.id}/getMemberGroups`, { securityEnabledOnly: false });
      return listSchema.parse(await answer.json()).value.toSorted();
    };
    assert.deepEqual(await groups(), [inner.id, outer.id].toSorted());
    assert.equal(await status('DELETE', `/groups/${inner.id}/members/${person.id}/$ref`), 204);
    assert.deepEqual(await groups(), []);
    const ids = { ids: [person.id, inner.id, outer.id], types: ['group'] };
    const answer = await call('POST', '/directoryObjects/getByIds', ids);
    assert.equal(listSchema.parse(await answer.json()).value.length, 2);
  });

  test('lists are paged, and filtered over all pages', async () => {
    for (let count = 0; count < 5; count += 1) await application(`page ${count}`);
    const filter = encodeURIComponent("startswith(displayName,'PAGE')");
    const found = new Set<string>();
    let path: string | undefined = `/applications?$filter=${filter}&$top=2`;
    for (let pages = 0; path !== undefined; pages += 1) {
      assert.ok(pages < 3, 'three pages of two');
      const page: z.infer<typeof listSchema> = await list(path);
      for (const each of page.value) if (typeof each === 'object') found.add(each.id);
      path = page['@odata.nextLink']?.replace(`${origin}/graph/v1.0`, '');
    }
    assert.equal(found.size, 5);
  });

  test('the owner of the installation stays as it is', async () => {
    const filter = encodeURIComponent(`servicePrincipalNames/any(c:c eq '${tenant.owner.clientId}')`);
    const [self] = (await list(`/servicePrincipals?$filter=${filter}`)).value;
    const id = typeof self === 'object' ? self.id : assert.fail();
    assert.equal(await status('DELETE', `/servicePrincipals/${id}`), 403);
    assert.equal(await status('PATCH', `/servicePrincipals/${id}`, { accountEnabled: false }), 403);
    assert.equal(await status('DELETE', '/users/olivia'), 403);
  });

  const refused: readonly [string, string, string, unknown, number][] = [
    ['no name', 'POST', '/applications', {}, 400],
    ['a password in the application', 'POST', '/applications', { displayName: 'x', passwordCredentials: [{}] }, 400],
    [
      'a key that is no certificate',
      'POST',
      '/applications',
      { displayName: 'x', keyCredentials: [{ key: 'AAAA' }] },
      400,
    ],
    ['a service principal of nothing', 'POST', '/servicePrincipals', { appId: 'x' }, 404],
    ['a short password', 'POST', '/users', { ...user('c'), passwordProfile: { password: 'short' } }, 400],
    [
      'a change of password later',
      'POST',
      '/users',
      { ...user('c'), passwordProfile: { password: 'Correct-horse', forceChangePasswordNextSignIn: true } },
      400,
    ],
    ['a name that is a GUID', 'POST', '/users', { ...user('c'), userPrincipalName: azureCli }, 400],
    ['a name with a colon', 'POST', '/users', { ...user('c'), userPrincipalName: 'a:b' }, 400],
    ['an id that is none', 'GET', '/applications/x', undefined, 404],
    ['a search', 'GET', '/users?$search=x', undefined, 400],
    ['a filter that is none', 'GET', '/users?$filter=x', undefined, 400],
    ['a page of nothing', 'GET', '/users?$top=0', undefined, 400],
    ['me as a program', 'GET', '/me', undefined, 400],
    ['a name with U+0000', 'POST', '/applications', { displayName: 'a\0' }, 400],
    ['a member with U+0000', 'POST', '/applications', { displayName: 'a', tags: [{ 'b\0': 1 }] }, 400],
    ['an id with U+0000', 'GET', '/users/a%00', undefined, 400],
    ['a filter with U+0000', 'GET', "/users?$filter=userPrincipalName%20eq%20'%00'", undefined, 400],
    ['an unknown route', 'GET', '/oauth2PermissionGrants', undefined, 404],
  ];
  for (const [name, method, path, body, expected] of refused)
    test(`refused: ${name}`, async () => {
      const response = await call(method, path, body);
      assert.equal(response.status, expected, await response.clone().text());
      assert.ok(graphErrorSchema.parse(await response.json()).error.message.length > 10);
    });

  test('a service principal is found by an identifier URI of its application too', async () => {
    const named = await made('/applications', { displayName: 'named', identifierUris: ['api://named'] });
    await made('/servicePrincipals', { appId: named.appId });
    const filter = encodeURIComponent("servicePrincipalNames/any(c:c eq 'api://named')");
    const { value } = await list(`/servicePrincipals?$filter=${filter}`);
    assert.partialDeepStrictEqual(value, [{ appId: named.appId, servicePrincipalNames: [named.appId, 'api://named'] }]);
    assert.deepEqual((await list(`/servicePrincipals?$filter=${filter.replace('named', 'other')}`)).value, []);
  });

  test('a secret that ends in the year 9999 ends as late as can be kept, and the application stays readable', async () => {
    const { id } = await made('/applications', { displayName: 'eternal' });
    const passwordCredential = { endDateTime: '9999-12-31T23:59:59Z', startDateTime: '0001-01-01T00:00:00Z' };
    const added = await call('POST', `/applications/${id}/addPassword`, { passwordCredential });
    assert.match(await added.text(), /"endDateTime":"2255-/);
    assert.equal((await call('GET', `/applications/${id}`)).status, 200);
  });

  test('without a token of the directory nothing is told', async () => {
    for (const token of ['', 'x', 'a.b.c']) assert.equal(await status('GET', '/users', undefined, token), 401);
  });
});
