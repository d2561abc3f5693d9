import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, beforeEach, describe, test } from 'node:test';
import { X509CertificateGenerator } from '@peculiar/x509';
import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, SignJWT } from 'jose';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleOrigin as origin, type SampleTenant, sampleTenant } from '../../../test/support/sample-tenant.ts';
import { addPassword } from '../../features/identity/credentials.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { loginErrorSchema, loginTokenAnswer } from '../../wire/login/login-messages.ts';
import { tenantAccessClaims, tenantIdClaims } from '../../wire/login/tenant-claims.ts';

const azureCli = '04b07795-8ddb-461a-bbee-02f9e1bf7b46';
const issuer = 'https://issuer.example';
const person = `${origin}/.default offline_access openid profile`;
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const deviceSchema = z.looseObject({ device_code: z.string(), user_code: z.string() });

type Fields = Readonly<Record<string, string>>;

forEachDatabase((_, open) => {
  let database: Database;
  let clock: HeldClock;
  let tenant: SampleTenant;
  const pages = new Map<string, unknown>();

  before(async () => {
    database = await open();
    clock = new HeldClock();
    tenant = await sampleTenant(database, clock, pages);
  });
  beforeEach(() => clock.advance(120_000));

  const get = async (path: string) => await tenant.app.request(path);
  const post = async (path: string, form: Fields, headers: Fields = {}) =>
    await tenant.app.request(path, { method: 'POST', body: new URLSearchParams(form), headers });
  const token = async (form: Fields, path = '/adfs/oauth2/token') => await post(path, form);
  const answer = async (response: Response) => {
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(response.headers.get('cache-control'), 'no-store');
    return loginTokenAnswer.parse(await response.json());
  };
  const failure = async (response: Response) => {
    const body = loginErrorSchema.parse(await response.json());
    return { status: response.status, error: body.error, code: body.error_codes[0] };
  };
  const asOwner = (): Fields => ({
    grant_type: 'client_credentials',
    client_id: tenant.owner.clientId,
    client_secret: tenant.owner.clientSecret,
    scope: `${origin}//.default`,
  });
  const asPerson = (): Fields => ({
    grant_type: 'password',
    client_id: azureCli,
    username: 'Olivia',
    password: tenant.owner.password,
    scope: person,
    client_info: '1',
  });

  describe('discovery', () => {
    for (const [style, document, tokenEndpoint] of [
      ['AD FS', '/adfs/.well-known/openid-configuration', '/adfs/oauth2/token'],
      ['tenant', '/TENANT/v2.0/.well-known/openid-configuration', '/TENANT/oauth2/v2.0/token'],
      ['common', '/common/v2.0/.well-known/openid-configuration', '/common/oauth2/v2.0/token'],
      ['version 1.0', '/TENANT/.well-known/openid-configuration', '/TENANT/oauth2/token'],
    ] as const) {
      test(`${style}: the document names addresses that work`, async () => {
        const place = (path: string) => path.replace('TENANT', tenant.tenantId);
        const found = z
          .looseObject({ issuer: z.string(), token_endpoint: z.string(), jwks_uri: z.string() })
          .parse(await (await get(place(document))).json());
        assert.equal(found.token_endpoint, `${origin}${place(tokenEndpoint)}`);
        assert.ok(found.issuer.startsWith(origin));
        const keys = z
          .object({ keys: z.array(z.looseObject({ kid: z.string(), alg: z.literal('ES256') })) })
          .parse(await (await get(new URL(found.jwks_uri).pathname)).json());
        assert.equal(keys.keys.length, 1);
        assert.equal(
          keys.keys.some((key) => 'd' in key),
          false,
        );
        await answer(await token(asOwner(), place(tokenEndpoint)));
      });
    }

    test('another tenant is refused', async () => {
      const other = '/00000000-0000-0000-0000-000000000001/v2.0/.well-known/openid-configuration';
      assert.deepEqual(await failure(await get(other)), { status: 400, error: 'invalid_request', code: 90002 });
    });

    test('cloud metadata has both shapes', async () => {
      const old = z.looseObject({
        graphEndpoint: z.string(),
        authentication: z.object({ loginEndpoint: z.string() }).loose(),
      });
      const shape = old.parse(await (await get('/metadata/endpoints?api-version=2015-01-01')).json());
      assert.equal(shape.authentication.loginEndpoint, `${origin}/adfs`);
      const young = z.looseObject({ name: z.string(), suffixes: z.looseObject({ acrLoginServer: z.string() }) });
      const newer = await (await get('/metadata/endpoints?api-version=2022-09-01')).json();
      assert.equal(young.parse(newer).suffixes.acrLoginServer, 'berth.test:5443');
      assert.deepEqual(await (await get('/metadata/clouds')).json(), [newer]);
    });
  });

  describe('tokens', () => {
    test('a service principal gets one for each resource, and one resource does not take another one’s', async () => {
      for (const [scope, aud, resource] of [
        [`${origin}//.default`, 'https://management.core.windows.net/', 'resourceManager'],
        ['https://management.azure.com/.default', 'https://management.core.windows.net/', 'resourceManager'],
        [`${origin}/graph/.default`, 'https://graph.microsoft.com', 'graph'],
        ['https://containerregistry.azure.net/.default', 'https://containerregistry.azure.net', 'registry'],
      ] as const) {
        const { access_token: text, refresh_token: refresh } = await answer(await token({ ...asOwner(), scope }));
        assert.equal(refresh, undefined);
        const claims = tenantAccessClaims.parse(claimsOf(text));
        assert.deepEqual(
          [claims.aud, claims.idtyp, claims.appid, claims.tid],
          [aud, 'app', tenant.owner.clientId, tenant.tenantId],
        );
        assert.equal((await tenant.tenantCaller(`Bearer ${text}`, resource)).isOwner, true);
        for (const other of ['resourceManager', 'graph', 'registry'] as const)
          if (other !== resource)
            await assert.rejects(tenant.tenantCaller(`Bearer ${text}`, other), { error: 'unauthorized' });
      }
    });

    test('a person gets access, id and refresh token; the refresh token buys others', async () => {
      const first = await answer(await token(asPerson()));
      const id = tenantIdClaims.parse(claimsOf(first.id_token ?? ''));
      assert.deepEqual([id.aud, id.iss, id.upn, id.tid], [azureCli, `${origin}/adfs`, 'olivia', tenant.tenantId]);
      const info = JSON.parse(Buffer.from(first.client_info ?? '', 'base64url').toString());
      assert.deepEqual(info, { uid: id.oid, utid: tenant.tenantId });
      const refresh = { grant_type: 'refresh_token', client_id: azureCli, refresh_token: first.refresh_token ?? '' };
      const second = await answer(await token({ ...refresh, scope: `${origin}/graph/.default` }));
      assert.equal(tenantAccessClaims.parse(claimsOf(second.access_token)).idtyp, 'user');
      const other = { ...refresh, client_id: '1950a258-227b-4e31-a9cf-717495945fc2', scope: person };
      assert.deepEqual(await failure(await token(other)), { status: 400, error: 'invalid_grant', code: 70008 });
    });

    test('version 1.0 answers in texts', async () => {
      const { scope: _scope, ...form } = asOwner();
      const body = await answer(
        await token({ ...form, resource: 'https://management.core.windows.net/' }, '/common/oauth2/token'),
      );
      assert.equal(body.expires_in, '3600');
      assert.equal(body.resource, 'https://management.core.windows.net/');
      assert.match(body.expires_on ?? '', /^\d+$/);
    });

    test('a token ends with its time', async () => {
      const { access_token: text } = await answer(await token(asOwner()));
      clock.advance(3_659_000);
      assert.equal((await tenant.tenantCaller(`Bearer ${text}`, 'resourceManager')).name, 'olivia');
      clock.advance(1_000);
      await assert.rejects(tenant.tenantCaller(`Bearer ${text}`, 'resourceManager'), { error: 'unauthorized' });
    });

    const refused: readonly [string, (form: Fields) => Fields, number, string, number][] = [
      ['a wrong secret', (form) => ({ ...form, client_secret: 'x' }), 401, 'invalid_client', 7000215],
      ['an unknown application', (form) => ({ ...form, client_id: 'x' }), 401, 'invalid_client', 7000215],
      ['a person as an application', (form) => ({ ...form, client_id: 'olivia' }), 401, 'invalid_client', 7000215],
      ['no scope', (form) => ({ ...form, scope: '' }), 400, 'invalid_request', 900144],
      [
        'a scope of nothing here',
        (form) => ({ ...form, scope: 'https://x.example/.default' }),
        400,
        'invalid_resource',
        500011,
      ],
      [
        'scopes of two resources',
        (form) => ({ ...form, scope: `${form.scope} ${origin}/graph/x` }),
        400,
        'invalid_resource',
        500011,
      ],
      ['an unknown grant type', (form) => ({ ...form, grant_type: 'implicit' }), 400, 'unsupported_grant_type', 70003],
      ['no grant type', ({ grant_type: _none, ...form }) => form, 400, 'invalid_request', 900144],
      [
        'an assertion that is none',
        ({ client_secret: _none, ...form }) => ({ ...form, client_assertion: 'x' }),
        401,
        'invalid_client',
        700027,
      ],
      [
        'a code with a wrong secret',
        (form) => ({
          ...form,
          grant_type: 'authorization_code',
          code: 'x',
          redirect_uri: 'http://localhost',
          client_id: azureCli,
          client_secret: '',
        }),
        401,
        'invalid_client',
        7000215,
      ],
      [
        'a code without its verifier',
        ({ client_secret: _none, ...form }) => ({
          ...form,
          grant_type: 'authorization_code',
          code: 'x',
          redirect_uri: 'http://localhost',
        }),
        400,
        'invalid_request',
        900144,
      ],
      [
        'an unknown device code',
        (form) => ({ ...form, grant_type: deviceGrant, device_code: 'x' }),
        400,
        'expired_token',
        70020,
      ],
    ];
    for (const [name, change, status, error, code] of refused) {
      test(`${name} is refused`, async () => {
        assert.deepEqual(await failure(await token(change(asOwner()))), { status, error, code });
      });
    }

    test('a wrong password and an unknown user look the same; the eleventh try in a minute is not heard', async () => {
      const wrong = { status: 400, error: 'invalid_grant', code: 50126 };
      assert.deepEqual(await failure(await token({ ...asPerson(), password: 'x' })), wrong);
      assert.deepEqual(await failure(await token({ ...asPerson(), username: 'nobody' })), wrong);
      let status = 0;
      for (let count = 0; count < 11; count += 1) status = (await token({ ...asPerson(), password: 'x' })).status;
      assert.equal(status, 429);
    });
  });

  test('a device is signed in by a person who enters its code', async () => {
    const begun = deviceSchema.parse(
      await (await post('/adfs/oauth2/devicecode', { client_id: azureCli, scope: person })).json(),
    );
    const poll = {
      grant_type: deviceGrant,
      client_id: azureCli,
      device_code: begun.device_code,
      code: begun.device_code,
    };
    assert.deepEqual((await failure(await token(poll))).error, 'authorization_pending');
    assert.deepEqual((await failure(await token(poll))).error, 'slow_down');
    const page = await browse(tenant, '/common/oauth2/deviceauth');
    const fields = { username: 'olivia', password: tenant.owner.password, decision: 'approve' };
    assert.equal((await page.send({ ...fields, code: 'BCDFGHJK' })).status, 400);
    assert.equal(
      (await page.send({ ...fields, code: begun.user_code.toLowerCase(), csrf: 'x'.repeat(43) })).status,
      403,
    );
    assert.equal((await page.send({ ...fields, code: begun.user_code.toLowerCase() })).status, 200);
    clock.advance(5_000);
    assert.equal((await answer(await token(poll))).scope, person);
    assert.equal((await failure(await token(poll))).error, 'expired_token');
  });

  test('one address begins thirty sign-ins of devices in a minute, and no more', async () => {
    const begin = () => post('/adfs/oauth2/devicecode', { client_id: azureCli, scope: person });
    for (let begun = 0; begun < 30; begun += 1) assert.equal((await begin()).status, 200);
    const refused = await begin();
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '60']);
    clock.advance(60_000);
    assert.equal((await begin()).status, 200);
  });

  test('a browser brings a code, good once and with its verifier only', async () => {
    const verifier = 'v'.repeat(43);
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    const redirect = 'http://localhost:8400';
    const query = new URLSearchParams({
      client_id: azureCli,
      response_type: 'code',
      redirect_uri: redirect,
      scope: person,
      state: 's"<',
      code_challenge: challenge,
      code_challenge_method: 'S256',
    });
    const path = `/adfs/oauth2/authorize?${query}`;
    const page = await browse(tenant, path);
    assert.match(page.policy, /form-action 'self' http:\/\/localhost:8400; frame-ancestors 'none'/);
    const fields = { username: 'olivia', password: tenant.owner.password, decision: 'signIn' };
    const code = async () => {
      const location = new URL((await page.send(fields)).headers.get('location') ?? assert.fail('no redirect'));
      assert.equal(location.origin, redirect);
      assert.equal(location.searchParams.get('state'), 's"<');
      return location.searchParams.get('code') ?? assert.fail('no code');
    };
    const redeem = { grant_type: 'authorization_code', client_id: azureCli, redirect_uri: redirect, scope: person };
    const good = { ...redeem, code: await code(), code_verifier: verifier };
    assert.ok((await answer(await token(good))).refresh_token);
    assert.equal((await failure(await token(good))).error, 'invalid_grant');
    for (const wrong of [{ code_verifier: 'w'.repeat(43) }, { redirect_uri: 'http://localhost:8401' }])
      assert.equal((await failure(await token({ ...good, code: await code(), ...wrong }))).error, 'invalid_grant');
    const cancelled = await page.send({ decision: 'cancel' });
    assert.match(cancelled.headers.get('location') ?? '', /^http:\/\/localhost:8400\/\?error=access_denied/);
    const crossSite = await page.send(fields, { origin: 'https://evil.example' });
    assert.equal(crossSite.status, 403);
  });

  test('what a client bought with its secret is of use with that secret only', async () => {
    const redirect = 'https://web.example/back';
    const unnamed = { displayName: undefined, startsAtMicros: undefined, expiresAtMicros: undefined };
    const { applications, servicePrincipals } = tenant.tenantDirectory;
    const properties = { web: { redirectUris: [redirect] } };
    const uid = await applications.create({ displayName: 'web', properties, keys: [], actor: 'test' });
    const { appId: clientId, principalUid } = (await applications.find(uid)) ?? assert.fail();
    await servicePrincipals.create(clientId, { isEnabled: true, actor: 'test' });
    const { secret: clientSecret } = await database.transaction((tx) =>
      addPassword({ ids, clock }, tx, { principalUid, isOfApplication: true }, unnamed),
    );
    const asked = { client_id: clientId, response_type: 'code', redirect_uri: redirect, scope: person };
    const page = await browse(tenant, `/adfs/oauth2/authorize?${new URLSearchParams(asked)}`);
    const fields = { username: 'olivia', password: tenant.owner.password, decision: 'signIn' };
    const location = new URL((await page.send(fields)).headers.get('location') ?? assert.fail('no redirect'));
    const code = location.searchParams.get('code') ?? assert.fail('no code');
    const client = { client_id: clientId, redirect_uri: redirect, scope: person };
    const proven = { ...client, client_secret: clientSecret };
    const first = await answer(await token({ ...proven, grant_type: 'authorization_code', code }));
    const refresh = { grant_type: 'refresh_token', refresh_token: first.refresh_token ?? '' };
    const unproven = await failure(await token({ ...client, ...refresh }));
    assert.deepEqual(unproven, { status: 400, error: 'invalid_request', code: 900144 });
    assert.equal((await token({ ...proven, ...refresh, client_secret: 'x' })).status, 401);
    const second = await answer(await token({ ...proven, ...refresh }));
    assert.equal(tenantAccessClaims.parse(claimsOf(second.access_token)).appidacr, '1');
  });

  test('nothing is sent to a redirect URI that is not registered', async () => {
    for (const uri of [
      'https://evil.example/',
      'http://localhost.evil.example',
      'http://evil.example#localhost',
      'https://localhost:8400',
      'http://user@localhost:8400',
      'javascript:alert(1)',
      '//localhost',
      '',
    ]) {
      const query = new URLSearchParams({ client_id: azureCli, response_type: 'code', redirect_uri: uri });
      const response = await get(`/adfs/oauth2/authorize?${query}`);
      assert.deepEqual([response.status, response.headers.get('location')], [400, null], uri);
    }
  });

  test('what fails is a page for a person and JSON for a program; what was sent is shown as text', async () => {
    const uri = 'https://evil.example/<script>alert(1)</script>';
    const query = new URLSearchParams({ client_id: azureCli, response_type: 'code', redirect_uri: uri });
    const path = `/adfs/oauth2/authorize?${query}`;
    const headers = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
    const page = await tenant.app.request(path, { headers });
    assert.equal(page.status, 400);
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/);
    const text = await page.text();
    assert.match(text, /The redirect URI is not registered.*&lt;script&gt;.*Correlation id/s);
    assert.doesNotMatch(text, /<script/);
    assert.equal((await failure(await get(path))).error, 'invalid_request');
  });

  test('a character that nothing has is refused before anything is looked up', async () => {
    for (const wrong of [{ username: 'a\0' }, { password: '\0' }, { client_id: '\0' }, { 'x\0': '' }]) {
      const form = {
        grant_type: 'password',
        client_id: azureCli,
        username: 'a',
        password: 'b',
        scope: person,
        ...wrong,
      };
      assert.equal((await failure(await token(form))).error, 'invalid_request', JSON.stringify(wrong));
    }
    assert.equal((await get('/adfs/oauth2/authorize?client_id=%00')).status, 400);
    for (const basic of ['\0:x', 'x:\0', '%00:x']) {
      const authorization = `Basic ${Buffer.from(basic).toString('base64')}`;
      const response = await tenant.app.request('/adfs/oauth2/token', {
        method: 'POST',
        headers: { authorization },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: `${origin}/.default` }),
      });
      assert.equal((await failure(response)).error, 'invalid_request', JSON.stringify(basic));
    }
  });

  test('an outside token signs in whom a federated credential trusts, exactly', async () => {
    const pair = await generateKeyPair('RS256', { extractable: true });
    pages.set(`${issuer}/.well-known/openid-configuration`, { issuer, jwks_uri: `${issuer}/keys` });
    pages.set(`${issuer}/keys`, { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'one' }] });
    const { applications, servicePrincipals } = tenant.tenantDirectory;
    const actor = 'test';
    const uid = await applications.create({ displayName: 'pipeline', properties: {}, keys: undefined, actor });
    const { appId } = (await applications.find(uid)) ?? assert.fail();
    await servicePrincipals.create(appId, { isEnabled: true, actor });
    const access = await bearer(asOwner());
    const trust = { name: 'main', issuer, subject: 'repo:a/b', audiences: ['api://AzureADTokenExchange'] };
    const id = z
      .object({ value: z.array(z.looseObject({ id: z.string() })) })
      .parse(
        await (
          await tenant.app.request(`/graph/v1.0/applications?$filter=appId eq '${appId}'`, { headers: access })
        ).json(),
      ).value[0]?.id;
    const path = `/graph/v1.0/applications/${id}/federatedIdentityCredentials`;
    const made = await tenant.app.request(path, { method: 'POST', headers: access, body: JSON.stringify(trust) });
    assert.equal(made.status, 201, await made.clone().text());

    const signed = async (change: Fields = {}, kid = 'one') => {
      const now = Math.floor(clock.nowMicros() / 1_000_000);
      return await new SignJWT({
        iss: issuer,
        sub: 'repo:a/b',
        aud: 'api://AzureADTokenExchange',
        iat: now,
        exp: now + 300,
        ...change,
      })
        .setProtectedHeader({ alg: 'RS256', kid })
        .sign(pair.privateKey);
    };
    const form = async (assertion: string) => ({
      grant_type: 'client_credentials',
      client_id: appId,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
      scope: `${origin}/.default`,
    });
    const { access_token: text } = await answer(await token(await form(await signed())));
    assert.equal((await tenant.tenantCaller(`Bearer ${text}`, 'resourceManager')).name, 'pipeline');
    for (const change of [{ sub: 'repo:a/B' }, { aud: 'x' }, { iss: 'https://other.example' }])
      assert.equal((await failure(await token(await form(await signed(change))))).code, 700027, JSON.stringify(change));
    assert.equal((await token(await form(await signed({}, 'two')))).status, 401);

    await applications.remove(uid, actor);
    await assert.rejects(tenant.tenantCaller(`Bearer ${text}`, 'resourceManager'), { error: 'unauthorized' });
  });

  test('a certificate signs for its application: to us, for its time, and from one address', async () => {
    const { privateKey, certificate } = await selfSigned(clock.nowMicros());
    const { applications, servicePrincipals } = tenant.tenantDirectory;
    const key = {
      keyId: undefined,
      key: certificate,
      displayName: undefined,
      startsAtMicros: undefined,
      expiresAtMicros: undefined,
    };
    const uid = await applications.create({ displayName: 'signer', properties: {}, keys: [key], actor: 'test' });
    const { appId } = (await applications.find(uid)) ?? assert.fail();
    await servicePrincipals.create(appId, { isEnabled: true, actor: 'test' });
    const now = Math.floor(clock.nowMicros() / 1_000_000);
    const claims = { iss: appId, sub: appId, aud: `${origin}/adfs/oauth2/token`, jti: 'one', nbf: now, exp: now + 600 };
    const send = async (change: Readonly<Record<string, unknown>>, alg = 'PS256', address?: string) =>
      await post(
        '/adfs/oauth2/token',
        {
          grant_type: 'client_credentials',
          client_id: appId,
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: await new SignJWT({ ...claims, ...change })
            .setProtectedHeader({ alg, x5t: 'any' })
            .sign(privateKey[alg] ?? assert.fail()),
          scope: `${origin}/.default`,
        },
        address === undefined ? {} : { 'x-sample-address': address },
      );
    assert.equal(tenantAccessClaims.parse(claimsOf((await answer(await send({}))).access_token)).appidacr, '2');
    await answer(await send({}));
    await answer(await send({ jti: 'two', exp: now + 600.5 }, 'RS256'));
    const wrong: readonly Readonly<Record<string, unknown>>[] = [
      { aud: 'https://login.microsoftonline.com/x' },
      { exp: now - 120 },
      { exp: now + 100_000 },
      { nbf: now + 120 },
      { jti: undefined },
      { iss: 'someone' },
    ];
    for (const change of wrong)
      assert.equal((await failure(await send({ jti: 'three', ...change }))).code, 700027, JSON.stringify(change));
    assert.equal((await failure(await send({}, 'PS256', '198.51.100.7'))).code, 700027, 'from another address');
  });

  async function bearer(form: Fields): Promise<Fields> {
    const { access_token: text } = await answer(await token({ ...form, scope: `${origin}/graph/.default` }));
    return { authorization: `Bearer ${text}`, 'content-type': 'application/json' };
  }
});

/** The same RSA key for each algorithm, as Web Cryptography binds one to the other. */
async function selfSigned(nowMicros: number) {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=signer',
    notBefore: new Date(nowMicros / 1000 - 60_000),
    notAfter: new Date(nowMicros / 1000 + 3_600_000),
    keys: { privateKey, publicKey },
    signingAlgorithm: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  });
  const pkcs8 = await exportPKCS8(privateKey);
  const keys: Readonly<Record<string, CryptoKey>> = { RS256: privateKey, PS256: await importPKCS8(pkcs8, 'PS256') };
  return { privateKey: keys, certificate: Buffer.from(certificate.rawData).toString('base64') };
}

function claimsOf(token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

/** Opens a page and sends its form as a browser does. */
async function browse({ app }: SampleTenant, path: string) {
  const response = await app.request(path);
  assert.equal(response.status, 200, await response.clone().text());
  const cookie = (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const csrf = /name="csrf" value="([\w-]{43})"/.exec(await response.text())?.[1] ?? assert.fail('no field');
  const send = async (fields: Fields, headers: Fields = {}) =>
    await app.request(path, {
      method: 'POST',
      body: new URLSearchParams({ csrf, ...fields }),
      headers: { cookie, origin, ...headers },
    });
  return { policy: response.headers.get('content-security-policy') ?? '', send };
}
