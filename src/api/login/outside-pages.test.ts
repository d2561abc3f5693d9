import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { Hono } from 'hono';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleOrigin as origin, type SampleTenant, sampleTenant } from '../../../test/support/sample-tenant.ts';
import { parseRegistryName } from '../../core/registry-name.ts';
import { AuthorizationCodes } from '../../features/identity/authorization-codes.ts';
import { ClientAssertions } from '../../features/identity/client-assertions.ts';
import { createFindClient } from '../../features/identity/clients.ts';
import { DeviceCodes } from '../../features/identity/device-codes.ts';
import { groupsOf } from '../../features/identity/directory-links.ts';
import { type GroupMapping, OutsideAccounts } from '../../features/identity/outside-accounts.ts';
import { OutsideIssuers } from '../../features/identity/outside-issuers.ts';
import { OutsideProvider } from '../../features/identity/outside-provider.ts';
import { OutsideSignIn } from '../../features/identity/outside-sign-in.ts';
import { createSignIn } from '../../features/identity/sign-in.ts';
import { SignInSessions } from '../../features/identity/sign-in-sessions.ts';
import { TenantTokens } from '../../features/identity/tenant-tokens.ts';
import { openAccess } from '../../features/registries/registry.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { createPasswordHasher } from '../../platform/keys/password-hasher.ts';
import { createLog } from '../../platform/log.ts';
import { createOutbound, type Outbound } from '../../platform/outbound/outbound.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { loginTokenAnswer } from '../../wire/login/login-messages.ts';
import { tenantIdClaims } from '../../wire/login/tenant-claims.ts';
import type { Env } from '../middleware/env.ts';
import { loginRoutes } from './login-routes.ts';

const azureCli = '04b07795-8ddb-461a-bbee-02f9e1bf7b46';
const issuer = 'http://provider.localhost';
const redirect = 'http://localhost:8400';
const verifier = 'v'.repeat(43);
const authorizeQuery = new URLSearchParams({
  client_id: azureCli,
  response_type: 'code',
  redirect_uri: redirect,
  scope: `${origin}/.default offline_access openid profile`,
  code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  code_challenge_method: 'S256',
});
const page = `/adfs/oauth2/authorize?${authorizeQuery}`;

type Claims = Readonly<Record<string, unknown>>;

/** What the provider says of the person, and what a forger would change. */
let person: Claims = {};
let forged: Claims = {};
let isDown = false;
let signsWithOther = false;
const given = new Map<string, { readonly nonce: string; readonly challenge: string; readonly redirectUri: string }>();

forEachDatabase((_, open) => {
  let database: Database;
  let tenant: SampleTenant;
  let clock: HeldClock;
  let app: Hono<Env>;
  const outbounds: Outbound[] = [];
  const provider = createServer((request, response) => {
    void answer(request, response);
  });
  const [right, other] = [generateKeyPair('RS256'), generateKeyPair('RS256')];

  before(async () => {
    await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
    database = await open();
    clock = new HeldClock(Date.now() * 1000);
    tenant = await sampleTenant(database, clock);
    app = appWith([]);
  });
  after(async () => {
    for (const outbound of outbounds) await outbound.close();
    provider.close();
  });
  beforeEach(() => {
    person = { sub: 'subject-1', preferred_username: 'ada@example.com', name: 'Ada', groups: [] };
    forged = {};
    isDown = false;
    signsWithOther = false;
  });

  function appWith(groups: GroupMapping): Hono<Env> {
    const { port } = portOf(provider.address());
    const hosts = new Map([['provider.localhost', { host: '127.0.0.1', port }]]);
    const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
    const accessLog = { record: () => {}, flush: async () => {}, close: async () => {} };
    const { tenantUid, tenantId, keys } = tenant;
    const journal = createJournal({ database, clock, ids });
    const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts, clock });
    outbounds.push(outbound);
    const parts = {
      database,
      clock,
      ids,
      log,
      accessLog,
      journal,
      tenantUid,
      outbound,
      passwords: createPasswordHasher(ids),
    };
    const outsideProvider = new OutsideProvider(parts, {
      issuer,
      clientId: 'berth',
      clientSecret: 'a secret',
      scopes: 'openid profile',
      name: 'Example',
      userClaim: 'preferred_username',
      groupsClaim: 'groups',
    });
    const outsideAccounts = new OutsideAccounts(parts, groups);
    const routes = new Hono<Env>();
    routes.use(async (c, next) => {
      c.set('call', {
        correlationId: 'sample',
        address: '192.0.2.1',
        origin,
        userAgent: undefined,
        registry: {
          uid: 'registry',
          tenantUid,
          name: parseRegistryName('contoso'),
          loginServer: 'contoso.berth.test:5443',
          sku: 'Premium',
          isAdminEnabled: false,
          isAnonymousPullEnabled: false,
          resourceKey: '/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/contoso',
          ...openAccess,
        },
      });
      await next();
    });
    routes.route(
      '/',
      loginRoutes({
        ...parts,
        signIn: createSignIn(parts),
        tenantTokens: new TenantTokens({ ...parts, keys, tenantId, domain: 'berth.test', lifetimeSeconds: 3600 }),
        clientAssertions: new ClientAssertions({ ...parts, outsideIssuers: new OutsideIssuers(outbound, clock) }),
        sessions: new SignInSessions({ ...parts, outsideLifetimeMs: 86_400_000 }),
        deviceCodes: new DeviceCodes(parts),
        authorizationCodes: new AuthorizationCodes(parts),
        outsideSignIn: new OutsideSignIn({ ...parts, sealer: tenant.sealer, outsideProvider, outsideAccounts }),
        findClient: createFindClient(database, tenantUid),
        domain: 'berth.test',
        portSuffix: ':5443',
      }),
    );
    return routes;
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (value: unknown, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (isDown) return send({}, 503);
    if (request.url === '/.well-known/openid-configuration')
      return send({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/keys`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
      });
    if (request.url === '/keys')
      return send({ keys: [{ ...(await exportJWK((await right).publicKey)), kid: 'one', alg: 'RS256' }] });
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const code = given.get(form.get('code') ?? '');
    given.delete(form.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const isClient = request.headers.authorization === `Basic ${Buffer.from('berth:a+secret').toString('base64')}`;
    if (!isClient || code?.challenge !== challenge || code.redirectUri !== form.get('redirect_uri'))
      return send({ error: 'invalid_grant' }, 400);
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer, aud: 'berth', iat: now, exp: now + 300, nonce: code.nonce, ...person, ...forged };
    const idToken = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .sign((await (signsWithOther ? other : right)).privateKey);
    send({ access_token: 'x', token_type: 'Bearer', expires_in: 60, id_token: idToken });
  }

  /** A browser that follows the link of the sign-in page to the provider; answers where it is sent back to. */
  async function goThere(on = app) {
    const cookies = new Map<string, string>();
    const send = async (path: string, form?: Readonly<Record<string, string>>) => {
      const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '), origin };
      const response = await on.request(
        path,
        form === undefined ? { headers } : { method: 'POST', headers, body: new URLSearchParams(form) },
      );
      for (const line of response.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        cookies.set(name, value);
      }
      return response;
    };
    const text = await (await send(page)).text();
    const link = /href="([^"]+)">Sign in with Example</.exec(text)?.[1] ?? assert.fail(text);
    const there = await send(link.replaceAll('&amp;', '&'));
    if (there.status !== 303) return { send, there, back: '' };
    const asked = new URL(there.headers.get('location') ?? '');
    assert.equal(asked.origin, issuer);
    assert.equal(asked.searchParams.get('code_challenge_method'), 'S256');
    const code = ids.uid();
    const redirectUri = asked.searchParams.get('redirect_uri') ?? '';
    given.set(code, {
      nonce: asked.searchParams.get('nonce') ?? '',
      challenge: asked.searchParams.get('code_challenge') ?? '',
      redirectUri,
    });
    const back = `${new URL(redirectUri).pathname}?${new URLSearchParams({ code, state: asked.searchParams.get('state') ?? '' })}`;
    return { send, there, back };
  }

  async function signIn(on = app): Promise<string> {
    return (await signInFully(on)).uid;
  }

  async function signInFully(on = app): Promise<{ readonly uid: string; readonly refreshToken: string }> {
    const { send, back } = await goThere(on);
    const returned = await send(back);
    assert.equal(returned.status, 303, await returned.clone().text());
    const text = await (await send(returned.headers.get('location') ?? '')).text();
    const [csrf = '', uid = ''] = ['csrf', 'person'].map(
      (name) => new RegExp(`name="${name}" value="([\\w-]+)"`).exec(text)?.[1] ?? assert.fail(text),
    );
    const done = await send(page, { csrf, person: uid, decision: 'signIn' });
    const location = new URL(done.headers.get('location') ?? assert.fail(await done.text()));
    const form = {
      grant_type: 'authorization_code',
      client_id: azureCli,
      redirect_uri: redirect,
      code: location.searchParams.get('code') ?? '',
      code_verifier: verifier,
      scope: `${origin}/.default openid offline_access`,
    };
    const tokens = loginTokenAnswer.parse(
      await (await on.request('/adfs/oauth2/token', { method: 'POST', body: new URLSearchParams(form) })).json(),
    );
    const claims = tenantIdClaims.parse(
      JSON.parse(Buffer.from((tokens.id_token ?? '').split('.')[1] ?? '', 'base64url').toString()),
    );
    assert.equal(claims.upn, person.preferred_username);
    return { uid, refreshToken: tokens.refresh_token ?? '' };
  }

  async function epoch(): Promise<number> {
    return (await database.read.selectFrom('tenants').select('access_epoch').executeTakeFirstOrThrow()).access_epoch;
  }

  test('a person is made at the first sign-in, is the same at the next, and nothing changes then', async () => {
    const uid = await signIn();
    const before = await epoch();
    assert.equal(await signIn(), uid);
    assert.equal(await epoch(), before);
    person = { ...person, sub: 'subject-2' };
    const { send, back } = await goThere();
    const refused = await send(back);
    assert.equal(refused.status, 403, 'the same name is not the same person');
    assert.match(await refused.text(), /belongs to somebody else/);
  });

  test('groups and ownership follow the provider at the next sign-in', async () => {
    const { groups } = tenant.tenantDirectory;
    const [readers, writers] = [
      await groups.create({ displayName: 'readers', properties: undefined, actor: 'test' }),
      await groups.create({ displayName: 'writers', properties: undefined, actor: 'test' }),
    ];
    const mapped = appWith([
      { outside: 'r', ours: 'readers' },
      { outside: 'w', ours: 'writers' },
      { outside: 'admins', ours: 'owner' },
    ]);
    const isOwner = async (uid: string) => (await tenant.tenantDirectory.users.find(uid))?.isOwner;
    person = { ...person, sub: 'grouped', preferred_username: 'grace', groups: ['r', 'unknown', 'admins'] };
    const uid = await signIn(mapped);
    assert.deepEqual(await groupsOf(database.read, uid), [readers]);
    assert.equal(await isOwner(uid), true);
    const before = await epoch();
    person = { ...person, groups: ['w'] };
    await signIn(mapped);
    assert.deepEqual(await groupsOf(database.read, uid), [writers]);
    assert.equal(await isOwner(uid), false);
    assert.equal(await epoch(), before + 1);
    await signIn(appWith([]));
    assert.deepEqual(await groupsOf(database.read, uid), [], 'a group that left the mapping is left');
  });

  test('a disabled person is refused, an owner by the mapping too; a new password ends sessions only', async () => {
    const mapped = appWith([{ outside: 'admins', ours: 'owner' }]);
    person = { ...person, sub: 'disabled', preferred_username: 'dora', groups: ['admins'] };
    const uid = await signIn(mapped);
    const change = { displayName: undefined, properties: undefined, actor: 'test' };
    const { users } = tenant.tenantDirectory;
    await users.update(uid, { ...change, isEnabled: undefined, password: 'a new password' });
    assert.equal(await signIn(mapped), uid);
    await users.update(uid, { ...change, isEnabled: false, password: undefined });
    const { send, back } = await goThere(mapped);
    const refused = await send(back);
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /disabled here/);
  });

  test('a token that is forged, stale or meant for others signs nobody in', async () => {
    const past = Math.floor(Date.now() / 1000) - 600;
    for (const change of [
      { nonce: 'other' },
      { iss: 'http://other.localhost' },
      { aud: 'other' },
      { exp: past },
      { nonce: undefined },
    ]) {
      forged = change;
      const { send, back } = await goThere();
      assert.equal((await send(back)).status, 403, JSON.stringify(change));
    }
    forged = {};
    signsWithOther = true;
    const { send, back } = await goThere();
    assert.equal((await send(back)).status, 403, 'another key');
  });

  test('an answer counts once, in the browser that began, with its state', async () => {
    const [one, two] = [await goThere(), await goThere()];
    assert.equal((await two.send(one.back)).status, 400, 'another browser');
    const three = await goThere();
    assert.equal((await three.send(three.back.replace(/state=[^&]+/, 'state=x'))).status, 400, 'another state');
    assert.equal((await one.send(one.back)).status, 303);
    assert.equal((await one.send(one.back)).status, 400, 'replayed');
    const four = await goThere();
    const denied = await four.send(four.back.replace(/code=[^&]+/, 'error=access_denied'));
    assert.equal(denied.status, 403);
    assert.match(await denied.text(), /access_denied/);
  });

  test('strangers who begin leave nothing behind, and an answer after ten minutes is too late', async () => {
    const states = async () => (await database.read.selectFrom('sign_in_states').select('key').execute()).length;
    const before = await states();
    const [late, forger] = [await goThere(), await goThere()];
    assert.equal(await states(), before);
    clock.advance(600_000);
    assert.equal((await late.send(late.back)).status, 400);
    const returned = await app.request(forger.back, {
      headers: { cookie: `__Host-berth-outside-way=${Buffer.alloc(200, 1).toString('base64url')}` },
    });
    assert.equal(returned.status, 400);
  });

  test('clients stay signed in for a day, however often they come; others as long as they come', async () => {
    person = { ...person, sub: 'stays', preferred_username: 'stella' };
    const { refreshToken } = await signInFully();
    const refresh = async () => {
      const form = { grant_type: 'refresh_token', client_id: azureCli, refresh_token: refreshToken };
      const body = new URLSearchParams({ ...form, scope: `${origin}/.default` });
      return (await app.request('/adfs/oauth2/token', { method: 'POST', body })).status;
    };
    for (let hours = 1; hours < 24; hours += 1) {
      clock.advance(3_600_000);
      assert.equal(await refresh(), 200, `${hours} h`);
    }
    clock.advance(3_600_000);
    assert.equal(await refresh(), 400);
    assert((await signInFully()).refreshToken !== '', 'and sign in again');
  });

  test('a provider that is down is told of on a page, and is asked again', async () => {
    const fresh = appWith([]);
    isDown = true;
    const { there } = await goThere(fresh);
    assert.equal(there.status, 400);
    assert.match(await there.text(), /does not answer/);
    isDown = false;
    const { send, back } = await goThere(fresh);
    isDown = true;
    assert.match(await (await send(back)).text(), /does not answer/);
  });

  test('one address goes there thirty times in a minute, and no more', async () => {
    const fresh = appWith([]);
    const go = () => fresh.request(`/common/oauth2/outside?${new URLSearchParams({ return: page })}`);
    for (let gone = 0; gone < 30; gone += 1) assert.equal((await go()).status, 303);
    assert.equal((await go()).status, 429);
  });

  test('the way leads back to pages of ours only', async () => {
    for (const place of ['https://evil.example/', '//evil.example/common/oauth2/authorize', '/graph/v1.0/me', ''])
      assert.equal((await app.request(`/common/oauth2/outside?${new URLSearchParams({ return: place })}`)).status, 400);
  });
});

function portOf(address: string | AddressInfo | null): AddressInfo {
  return typeof address === 'object' && address !== null ? address : assert.fail('not listening');
}
