import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  basic,
  type SampleAccess,
  type SampleProcess,
  sampleAccess,
  sampleCircumstances,
  sampleProcess,
} from '../../../test/support/sample-access.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { refreshTokenClaims } from '../../wire/token/token-claims.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { insertPrincipal, insertSecret } from '../identity/principal-store.ts';
import { SignInSessions } from '../identity/sign-in-sessions.ts';
import type { TenantResource } from '../identity/tenant-resource.ts';
import type { SignedIn } from '../identity/tenant-tokens.ts';
import type { ExchangeRequest, TenantProof } from './token-exchange.ts';

const tokenUserName = '00000000-0000-0000-0000-000000000000';

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let sample: SampleAccess;
  let here: SampleProcess;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
  });
  beforeEach(async () => {
    here = await sampleProcess(database, sample.tenantUid, clock);
  });
  afterEach(() => here.close());

  /** A service principal of the tenant that has just shown a secret. */
  const signedIn = async (expiresAtMicros?: number): Promise<SignedIn> => {
    const [uid, credentialUid] = [ids.uid(), ids.uid()];
    await database.transaction(async (tx) => {
      const names = { kind: 'servicePrincipal', loginName: ids.guid(), displayName: 'deployer' } as const;
      const principal = { uid, tenantUid: sample.tenantUid, ...names, registryUid: undefined, isOwner: true };
      await insertPrincipal(tx, principal, clock.nowMicros());
      const secret = { uid: credentialUid, name: 'clientSecret', verifier: 'x', sealed: undefined } as const;
      const ends = expiresAtMicros === undefined ? {} : { expiresAtMicros };
      await insertSecret(tx, uid, { ...secret, ...ends }, clock.nowMicros());
    });
    const principal = {
      kind: 'servicePrincipal',
      uid,
      name: 'deployer',
      isOwner: true,
      registryUid: undefined,
    } as const;
    return { principal, credentialUid, loginName: 'x', clientId: ids.guid(), proof: 'none' };
  };
  const tenantToken = async (who: SignedIn, resource: TenantResource = 'registry') =>
    (await here.tenantTokens.issueAccess(who, resource)).token;
  const registry = (uid = sample.registryUid) => here.directory.byUid(uid) ?? assert.fail();
  const exchange = async (proof: string | TenantProof, more: Partial<ExchangeRequest> = {}) =>
    await here.exchangeToken({
      registry: registry(),
      proof: typeof proof === 'string' ? { kind: 'accessToken', token: proof } : proof,
      tenant: undefined,
      circumstances: { ...sampleCircumstances, surface: 'token' },
      ...more,
    });
  const claimsOf = (token: string) =>
    refreshTokenClaims.parse(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()));
  /** Whether the token signs in as `docker login` and `az acr` use it. */
  const use = async (token: string, uid?: string) =>
    await here.authorize({
      registry: registry(uid),
      authorization: basic(tokenUserName, token),
      action: 'connect',
      circumstances: sampleCircumstances,
    });
  const wrong = { error: 'credentialsWrong' };

  test('a token of the tenant buys a refresh token of three hours, with the claims that clients read', async () => {
    const who = await signedIn();
    const token = await exchange(await tenantToken(who), { tenant: here.tenantTokens.tenantId.toUpperCase() });
    const now = clock.nowMicros() / 1_000_000;
    const { jti: _jti, epoch: _epoch, registry: uid, principal, ...claims } = claimsOf(token);
    assert.deepEqual(claims, {
      sub: 'deployer',
      nbf: now,
      iat: now,
      exp: now + 3 * 3_600,
      iss: 'Azure Container Registry',
      aud: 'contoso.berth.test:5443',
      version: '1.0',
      roles: [],
      credential: who.credentialUid,
      grant_type: 'refresh_token',
      tenant: here.tenantTokens.tenantId,
      permissions: {
        actions: [
          ...['read', 'write', 'delete', 'metadata/read', 'metadata/write', 'deleted/read', 'deleted/restore/action'],
          ...['quarantine/read', 'quarantine/write'],
        ],
        notActions: [],
      },
    });
    assert.deepEqual([uid, principal], [sample.registryUid, who.principal.uid]);
    assert.equal((await use(token)).principal.name, 'deployer');
  });

  test('one for the resource manager does where the policy of the registry says so, one for Graph never', async () => {
    const who = await signedIn();
    const [manager, graph] = [await tenantToken(who, 'resourceManager'), await tenantToken(who, 'graph')];
    await exchange(manager);
    await assert.rejects(exchange(graph), wrong);
    const setPolicy = async (acceptsArmTokens: boolean) =>
      await database.transaction(async (tx) => {
        await raiseAccessEpoch(tx, sample.tenantUid);
        const rules = { network_rules: JSON.stringify({ acceptsArmTokens }) };
        await tx.updateTable('registries').set(rules).where('uid', '=', sample.registryUid).execute();
      });
    await setPolicy(false);
    await assert.rejects(exchange(manager), wrong);
    await exchange(await tenantToken(who));
    await exchange(manager, { registry: registry(sample.otherUid) });
    await setPolicy(true);
    await exchange(manager);
  });

  test('what it buys ends with the secret behind it, and so do the tokens bought with that', async () => {
    const nowMicros = clock.nowMicros();
    const token = await exchange(await tenantToken(await signedIn(nowMicros + 3_600 * 1_000_000)));
    assert.equal(claimsOf(token).exp, nowMicros / 1_000_000 + 3_600);
    const issue = () =>
      here.issueTokens({
        registry: registry(),
        credentials: { kind: 'refreshToken', token },
        asked: [],
        wantsRefreshToken: true,
        circumstances: sampleCircumstances,
      });
    clock.advance(3_000_000);
    const issued = await issue();
    assert.equal(issued.expiresInSeconds, 600);
    assert.equal(claimsOf(issued.refreshToken ?? '').exp, claimsOf(token).exp);
    clock.advance(600_000);
    await assert.rejects(issue(), wrong);
    await assert.rejects(use(token), wrong);
  });

  test('a refresh token does not renew itself', async () => {
    const first = await exchange(await tenantToken(await signedIn()));
    clock.advance(2 * 3_600_000);
    const { refreshToken: second = '' } = await here.issueTokens({
      registry: registry(),
      credentials: { kind: 'password', userName: tokenUserName, password: first },
      asked: [],
      wantsRefreshToken: true,
      circumstances: sampleCircumstances,
    });
    assert.equal(claimsOf(second).exp, claimsOf(first).exp);
  });

  test('a secret that is deleted and a principal that is disabled end what they bought, from the next request on', async () => {
    for (const end of ['secret', 'principal'] as const) {
      const who = await signedIn();
      const bought = await tenantToken(who);
      const token = await exchange(bought);
      await use(token);
      await database.transaction(async (tx) => {
        await raiseAccessEpoch(tx, sample.tenantUid);
        if (end === 'secret') await tx.deleteFrom('secrets').where('uid', '=', who.credentialUid).execute();
        else await tx.updateTable('principals').set({ is_enabled: 0 }).where('uid', '=', who.principal.uid).execute();
      });
      await assert.rejects(use(token), wrong);
      await assert.rejects(exchange(bought), wrong);
    }
  });

  test('it is of use in its registry only', async () => {
    const token = await exchange(await tenantToken(await signedIn()));
    await assert.rejects(use(token, sample.otherUid), wrong);
  });

  test("the refresh token of a person's sign-in buys one too, while the sign-in stands", async () => {
    const who = await signedIn();
    const session = await new SignInSessions({ database, clock, ids, outsideLifetimeMs: 86_400_000 }).open(who);
    await use(await exchange({ kind: 'refreshToken', token: session }));
    // What a client with a secret bought needs that secret, which nobody shows here.
    const proven = await new SignInSessions({ database, clock, ids, outsideLifetimeMs: 86_400_000 }).open({
      ...who,
      proof: 'secret',
    });
    await assert.rejects(exchange({ kind: 'refreshToken', token: proven }), wrong);
    await database.transaction(async (tx) => {
      await raiseAccessEpoch(tx, sample.tenantUid);
      await tx.deleteFrom('secrets').where('uid', '=', who.credentialUid).execute();
    });
    await assert.rejects(exchange({ kind: 'refreshToken', token: session }), wrong);
    await assert.rejects(exchange({ kind: 'refreshToken', token: 'made up' }), wrong);
  });

  test('tokens of another tenant, of a registry and of nobody buy nothing', async () => {
    const who = await signedIn();
    const bought = await tenantToken(who);
    const refresh = await exchange(bought);
    const { accessToken } = await here.issueTokens({
      registry: registry(),
      credentials: { kind: 'refreshToken', token: refresh },
      asked: [],
      wantsRefreshToken: false,
      circumstances: sampleCircumstances,
    });
    const texts = { refresh, accessToken, 'changed token': `${bought.slice(0, -4)}AAAA`, 'no token': '' };
    for (const [label, text] of Object.entries(texts)) await assert.rejects(exchange(text), wrong, label);
    await assert.rejects(exchange(bought, { tenant: ids.guid() }), wrong);
    await exchange(bought, { tenant: 'contoso.onmicrosoft.com' });
    // And the tenant's own tokens open no registry.
    await assert.rejects(use(bought), wrong);
    const bearer = { registry: registry(), authorization: `Bearer ${bought}`, circumstances: sampleCircumstances };
    await assert.rejects(here.authorize({ ...bearer, action: 'connect' }), wrong);
  });

  test('every use of it is a sign-in in the access log, a wrong one too', async () => {
    const who = await signedIn();
    await use(await exchange(await tenantToken(who)));
    await assert.rejects(use('wrong'), wrong);
    const lines = (await here.accessLines()).filter(({ kind, identity }) => {
      return kind === 'signIn' && [who.principal.uid, 'unknown'].includes(identity);
    });
    assert.deepEqual(
      lines.slice(-2).map(({ identity, status }) => [identity, status]),
      [
        [who.principal.uid, 200],
        ['unknown', 401],
      ],
    );
  });

  test('so is every exchange that fails, and many from one address are refused', async () => {
    const who = await signedIn();
    const bought = await tenantToken(who);
    await assert.rejects(exchange('made up'), wrong);
    await assert.rejects(exchange(bought, { tenant: ids.guid() }), wrong);
    for (let failed = 2; failed < 10; failed += 1) await assert.rejects(exchange('made up'), wrong);
    await assert.rejects(exchange('made up'), { error: 'tooManyAttempts', retryAfterSeconds: 60 });
    await exchange(bought);
    const failed = (await here.accessLines()).slice(-12);
    assert.deepEqual(
      failed.map(({ kind, status }) => [kind, status]),
      [...Array.from({ length: 10 }, () => ['signIn', 401]), ['signIn', 429], ['tokenIssue', 200]],
    );
    assert(failed.slice(0, -1).every(({ identity }) => identity === 'unknown'));
    clock.advance(60_000);
    await assert.rejects(exchange('made up'), wrong);
  });

  test('an address that is shut out learns nothing of the token', async () => {
    await database.transaction(async (tx) => {
      await raiseAccessEpoch(tx, sample.tenantUid);
      const rules = { network_rules: JSON.stringify({ isPublic: false }) };
      await tx.updateTable('registries').set(rules).where('uid', '=', sample.otherUid).execute();
    });
    for (const text of [await tenantToken(await signedIn()), 'made up'])
      await assert.rejects(exchange(text, { registry: registry(sample.otherUid) }), { error: 'networkDenied' });
  });
});
