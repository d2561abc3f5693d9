import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, test } from 'node:test';
import { Hono } from 'hono';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  basic,
  type SampleAccess,
  type SampleProcess,
  sampleAccess,
  sampleProcess,
} from '../../../test/support/sample-access.ts';
import { BerthError, errorCatalogue } from '../../core/errors.ts';
import { OwnBuckets } from '../../features/throttling/own-buckets.ts';
import { Throttle } from '../../features/throttling/throttle.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { accessTokenClaims } from '../../wire/token/token-claims.ts';
import { tokenAnswer } from '../../wire/token/token-messages.ts';
import type { Env } from '../middleware/env.ts';
import { throttleRequests } from '../middleware/throttle.ts';
import { tokenRoutes } from './token-routes.ts';

const service = 'contoso.berth.test:5443';

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleAccess;
  let here: SampleProcess;
  let app: Hono<Env>;
  let admin: string;
  /** Where requests come from, and whether the registry counts them. */
  let address: string;
  let isThrottled: boolean;
  /** So many of the registry's sign-ins. */
  let spend: (requests: number) => void;
  let password: string;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    [password = ''] = await sample.adminPasswords(sample.registryUid);
    admin = basic('contoso', password);
  });
  beforeEach(async () => {
    const clock = new HeldClock();
    here = await sampleProcess(database, sample.tenantUid, clock);
    [address, isThrottled] = ['192.0.2.1', false];
    app = new Hono<Env>();
    app.use(async (c, next) => {
      const registry = here.directory.byUid(sample.registryUid) ?? assert.fail();
      c.set('call', {
        correlationId: 'test',
        address,
        origin: 'http://localhost:5000',
        userAgent: undefined,
        registry: { ...registry, isThrottled },
      });
      await next();
    });
    const [buckets, addresses] = [new OwnBuckets(clock), new OwnBuckets(clock)];
    const throttle = new Throttle({ buckets, addresses, table: 'current', pauseMs: 60_000 });
    const accessLog = { record: () => {}, flush: async () => {}, close: async () => {} };
    app.route('/', tokenRoutes({ ...here, throttle: throttleRequests({ throttle, accessLog }) }));
    spend = (requests) => {
      const registry = { uid: sample.registryUid, sku: 'Premium', isThrottled: true } as const;
      for (let times = 0; times < requests; times++)
        throttle.admit({ registry, principal: undefined, address }, 'oauth');
    };
    app.onError((error) => {
      if (!(error instanceof BerthError)) throw error;
      return Response.json({ error: error.error }, { status: errorCatalogue[error.error].status });
    });
  });
  afterEach(() => here.close());

  const get = async (query: string, authorization?: string) =>
    await app.request(`/oauth2/token?${query}`, { headers: authorization === undefined ? {} : { authorization } });
  const post = async (form: Readonly<Record<string, string>> | URLSearchParams) =>
    await app.request('/oauth2/token', { method: 'POST', body: new URLSearchParams(form) });
  const exchange = async (form: Readonly<Record<string, string>>) =>
    await app.request('/oauth2/exchange', { method: 'POST', body: new URLSearchParams(form) });
  const tokensIssued = async () => (await here.accessLines()).filter(({ kind }) => kind === 'tokenIssue').length;
  const granted = async (response: Response) => {
    assert.equal(response.status, 200, await response.clone().text());
    return claimsOf(tokenAnswer.parse(await response.json()).access_token).access;
  };
  const repository = (name: string, ...actions: readonly string[]) => ({ type: 'repository', name, actions });

  test('GET with Basic answers a token for the asked scopes, repeated and parted by spaces', async () => {
    const response = await get(
      `service=${service}&account=contoso&client_id=docker&offline_token=true` +
        '&scope=repository:a/b:pull,push&scope=repository:c:pull%20registry:catalog:*%20repository:d:delete',
      admin,
    );
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const body: unknown = await response.clone().json();
    assert.deepEqual(Object.keys(tokenAnswer.parse(body)).sort(), ['access_token', 'expires_in']);
    assert.deepEqual(body, { ...tokenAnswer.parse(body), expires_in: 4500 });
    assert.deepEqual(await granted(response), [
      repository('a/b', 'pull', 'push'),
      repository('c', 'pull'),
      { type: 'registry', name: 'catalog', actions: ['*'] },
      repository('d', 'delete'),
    ]);
  });

  const scopes: readonly [string, string, unknown[]][] = [
    ['nothing asked', '', []],
    ['every action', 'scope=repository:a:*', [repository('a', ...everyAction())]],
    ['old spellings', 'scope=repository:a:metadataRead', [repository('a', 'metadata_read')]],
    ['an action that is none', 'scope=repository:a:fly', []],
    ['a name that is none', 'scope=repository:A/B:pull', []],
    ['a type that is none', 'scope=blob:a:pull', []],
    ['another registry scope', 'scope=registry:other:*', []],
    ['a scope without form', 'scope=pull', []],
  ];
  for (const [label, query, access] of scopes) {
    test(`asking for ${label} grants ${access.length === 0 ? 'nothing' : 'it by name'}`, async () => {
      assert.deepEqual(await granted(await get(query, admin)), access);
    });
  }

  test('the access log says of what kind each is, as everyone who uses the admin account looks the same', async () => {
    await get(`service=${service}`, admin);
    await get(`service=${service}`, basic('olivia', sample.owner.password));
    const lines = await here.accessLines();
    for (const wanted of ['signIn', 'tokenIssue'])
      assert.deepEqual(
        lines
          .filter(({ kind }) => kind === wanted)
          .slice(-2)
          .map(({ principalKind }) => principalKind),
        ['registryAdmin', 'user'],
        wanted,
      );
  });

  test('a stranger is refused, and reads where the registry has anonymous pull', async () => {
    assert.equal((await get(`service=${service}&scope=repository:a:pull`)).status, 401);
    assert.equal((await post({ grant_type: 'password', service, username: '', password: '' })).status, 401);
    await here.registries.setAnonymousPull({ registryUid: sample.registryUid, isOn: true, actor: 'test' });
    const access = [repository('a', 'pull')];
    assert.deepEqual(await granted(await get('scope=repository:a:pull,push')), access);
    assert.deepEqual(
      await granted(await post({ grant_type: 'password', scope: 'repository:a:pull,push', access_type: 'offline' })),
      access,
    );
    await here.registries.setAnonymousPull({ registryUid: sample.registryUid, isOn: false, actor: 'test' });
  });

  test('POST with a password answers the same, and a refresh token where asked, which buys further tokens', async () => {
    const form = { grant_type: 'password', service, client_id: 'containerd', username: 'contoso', password };
    const plain = tokenAnswer.parse(await (await post(form)).json());
    assert.equal(plain.refresh_token, undefined);
    const offline = tokenAnswer.parse(await (await post({ ...form, access_type: 'offline' })).json());
    const refresh = { grant_type: 'refresh_token', service, refresh_token: offline.refresh_token ?? assert.fail() };
    const bought = await post({ ...refresh, scope: 'repository:a:pull' });
    assert.deepEqual(await granted(bought), [repository('a', 'pull')]);
    await here.registries.setAdminEnabled({ registryUid: sample.registryUid, isOn: false, actor: 'test' });
    assert.equal((await post(refresh)).status, 401);
    assert.equal((await post(form)).status, 401);
    await here.registries.setAdminEnabled({ registryUid: sample.registryUid, isOn: true, actor: 'test' });
  });

  test('several scope fields of a form count', async () => {
    const form = new URLSearchParams({ grant_type: 'password', username: 'contoso', password });
    form.append('scope', 'repository:a:pull');
    form.append('scope', 'repository:b:pull');
    assert.deepEqual(await granted(await post(form)), [repository('a', 'pull'), repository('b', 'pull')]);
  });

  test('the service is this registry, by its login server or by the name the client used', async () => {
    assert.equal((await get(`service=${service}`, admin)).status, 200);
    assert.equal((await get('service=localhost:5000', admin)).status, 200);
    assert.equal((await get('service=fabrikam.berth.test:5443', admin)).status, 400);
    assert.equal((await post({ grant_type: 'password', service: 'other', username: 'a', password: 'b' })).status, 400);
  });

  const wrong: readonly [string, () => Promise<Response>][] = [
    ['no credentials', () => get('')],
    ['a token that is none', () => get('', 'Bearer abc')],
    ['a refresh token that is none', () => post({ grant_type: 'refresh_token', refresh_token: 'abc' })],
    ['a form of nothing', () => post({})],
    ['a tenant token that is none', () => exchange({ grant_type: 'access_token', service, access_token: 'abc' })],
  ];
  for (const [label, send] of wrong)
    test(`${label}, again and again from one address, keeps nobody else from signing in`, async () => {
      isThrottled = true;
      const perMinute = 2_000;
      const statuses = new Map<number, number>();
      for (let times = 0; times < perMinute + 10; times++) {
        const { status } = await send();
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      assert.ok((statuses.get(429) ?? 0) >= 10, JSON.stringify([...statuses]));
      const right = await get('', admin);
      assert.equal(right.status, 200, 'right credentials from the same address');
      assert.equal(right.headers.get('ratelimit-remaining'), `${20_000 - perMinute - 1};w=60`);
      address = '198.51.100.7';
      assert.notEqual((await send()).status, 429, 'the same from elsewhere');
    });

  test('right credentials are counted for the registry alone, before anything is issued', async () => {
    isThrottled = true;
    spend(19_999);
    assert.equal((await get('', admin)).status, 200);
    const issued = await tokensIssued();
    assert.equal((await get('', admin)).status, 429);
    assert.equal(await tokensIssued(), issued);
  });

  const refused: readonly [string, number, () => Promise<Response>][] = [
    ['a wrong password', 401, () => get('', basic('contoso', 'wrong'))],
    ['a malformed header', 401, () => get('', 'Basic')],
    ['another scheme', 401, () => get('', 'Negotiate abc')],
    ['too many scopes', 400, () => get(`scope=${Array(101).fill('repository:a:pull').join('%20')}`, admin)],
    ['a scope too long', 400, () => get(`scope=repository:${'a'.repeat(600)}:pull`, admin)],
    ['two services', 400, () => get('service=a&service=b', admin)],
    ['an unknown grant', 400, () => post({ grant_type: 'client_credentials' })],
    ['no grant', 400, () => post({})],
    ['a refresh token that is none', 401, () => post({ grant_type: 'refresh_token', refresh_token: 'abc' })],
    ['no refresh token', 400, () => post({ grant_type: 'refresh_token' })],
    ['a form too large', 413, () => post({ grant_type: 'password', username: 'x'.repeat(70_000) })],
    [
      'a body that is no form',
      400,
      async () =>
        await app.request('/oauth2/token', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{"grant_type":"password"}',
        }),
    ],
  ];
  for (const [label, status, send] of refused) {
    test(`${label} is answered ${status}`, async () => assert.equal((await send()).status, status));
  }
});

function claimsOf(token: string) {
  return accessTokenClaims.parse(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()));
}

function everyAction(): string[] {
  return [
    ...['pull', 'push', 'delete', 'metadata_read', 'metadata_write', 'deleted_read', 'deleted_restore'],
    ...['quarantine_read', 'quarantine_write'],
  ];
}
