import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type Claims, OidcIssuer } from '../../../test/support/oidc-issuer.ts';
import { type SampleTenant, sampleTenant } from '../../../test/support/sample-tenant.ts';
import { BerthError } from '../../core/errors.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createOutbound, type Outbound } from '../../platform/outbound/outbound.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { ClientAssertions } from './client-assertions.ts';
import { addFederated } from './credentials.ts';
import { type ManagedIdentity, removeManagedIdentity, writeManagedIdentity } from './managed-identities.ts';
import { OutsideIssuers } from './outside-issuers.ts';

const subject = 'repo:contoso/app:ref:refs/heads/main';
const audience = 'api://AzureADTokenExchange';
const right: Claims = { sub: subject, aud: audience };
const from = { address: '192.0.2.1', correlationId: 'test', userAgent: undefined };
const accessLog = { record: () => {}, flush: async () => {}, close: async () => {} };

forEachDatabase((_, open) => {
  let database: Database;
  let tenant: SampleTenant;
  let github: OidcIssuer;
  let cluster: OidcIssuer;
  let outbound: Outbound;
  let assertions: ClientAssertions;
  let clock: HeldClock;
  /** Application id of an application that trusts `github`, client id of an identity that trusts both issuers. */
  let appId = '';
  const identity: ManagedIdentity = {
    ...{ uid: ids.uid(), clientId: ids.guid(), name: 'builder', resourceId: '/builder', kind: 'userAssigned' },
  };

  before(async () => {
    clock = new HeldClock();
    database = await open();
    tenant = await sampleTenant(database, clock);
    github = await OidcIssuer.start({ issuer: 'http://github.example' });
    cluster = await OidcIssuer.start({ issuer: 'http://cluster.example' });
    const hosts = new Map(
      [github, cluster].map(({ issuer, port }) => [new URL(issuer).hostname, { host: '127.0.0.1', port }]),
    );
    outbound = createOutbound({ allow: [], hosts, clock });
    appId = await makeApplication();
    await tenant.journal.transaction(async (tx, append) => {
      await writeManagedIdentity(tx, append, identity, { tenantUid: tenant.tenantUid, actor: 'owner', nowMicros: 0 });
      for (const issuer of [github, cluster]) await addFederated({ ids, clock }, tx, identity.uid, trust(issuer));
    });
  });
  beforeEach(() => {
    const { tenantUid } = tenant;
    // A process that has no keys yet.
    const outsideIssuers = new OutsideIssuers(outbound, clock);
    assertions = new ClientAssertions({ database, clock, accessLog, outsideIssuers, tenantUid });
    github.requests.length = 0;
    github.isDown = false;
  });
  after(async () => {
    await outbound.close();
    await Promise.all([github.stop(), cluster.stop()]);
  });

  const trust = ({ issuer }: OidcIssuer) => ({
    ...{ name: 'main', issuer, subject, audiences: [audience, 'other'], description: undefined },
  });
  async function makeApplication(): Promise<string> {
    const { applications, servicePrincipals } = tenant.tenantDirectory;
    const actor = 'owner';
    const uid = await applications.create({ displayName: 'pipeline', properties: {}, keys: undefined, actor });
    const made = (await applications.find(uid)) ?? assert.fail();
    await servicePrincipals.create(made.appId, { isEnabled: true, actor });
    await applications.change(uid, actor, 'test', (tx, { principalUid }) =>
      addFederated({ ids, clock }, tx, principalUid, trust(github)),
    );
    return made.appId;
  }
  const now = () => Math.floor(clock.nowMicros() / 1_000_000);
  const tokenOf = (claims: Claims = right, issuer = github) => issuer.token(claims, now());
  const signIn = (assertion: string, clientId = appId) =>
    assertions.signIn({ clientId, assertion, audiences: ['https://login.test'], from });
  const refusal = async (assertion: string, clientId?: string) => {
    try {
      await signIn(assertion, clientId);
    } catch (error) {
      assert.ok(error instanceof BerthError && error.error === 'assertionInvalid', String(error));
      return String(error.detail);
    }
    return assert.fail('it should have been refused');
  };

  test('an outside token signs in an application and an identity that trust it', async () => {
    const { principal, clientId, proof } = await signIn(await tokenOf());
    assert.deepEqual([principal.kind, principal.name, clientId, proof], ['servicePrincipal', 'pipeline', appId, 'key']);
    for (const issuer of [github, cluster]) {
      const who = await signIn(await tokenOf(right, issuer), identity.clientId.toUpperCase());
      assert.deepEqual([who.principal.kind, who.clientId], ['managedIdentity', identity.clientId]);
    }
    assert.equal((await signIn(await tokenOf({ ...right, aud: ['x', 'other'] }))).principal.name, 'pipeline');
  });

  for (const [reason, change, problem] of [
    ['of another subject', { sub: `${subject}s` }, /no federated credential has issuer/],
    ['of a subject in other letters', { sub: subject.toUpperCase() }, /no federated credential has issuer/],
    ['without a subject', { sub: undefined }, /no federated credential has issuer/],
    ['of another issuer', { iss: 'http://github.example/' }, /no federated credential has issuer/],
    ['for another audience', { aud: 'api://azureadtokenexchange' }, /unexpected "aud" claim value/],
    ['without an audience', { aud: undefined }, /"aud"/],
    ['that has expired', { exp: 1 }, /"exp" claim timestamp check failed/],
    ['that never expires', { exp: undefined }, /missing required "exp" claim/],
    ['that is not valid yet', { nbf: 4_000_000_000 }, /"nbf" claim timestamp check failed/],
  ] as const) {
    test(`a token ${reason} is refused`, async () => {
      assert.match(await refusal(await tokenOf({ ...right, ...change })), problem);
    });
  }

  test('a token that nobody signed, or with the public key for a secret, is refused', async () => {
    const [, payload = '', signature = ''] = (await tokenOf()).split('.');
    const header = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const alg of ['none', 'None', 'NONE'])
      assert.match(await refusal(`${header({ alg })}.${payload}.`), /"alg"|[Uu]nsupported|invalid/i);
    const signed = `${header({ alg: 'HS256', kid: 'key-1' })}.${payload}`;
    for (const secret of [JSON.stringify(github.publicJwk), String(github.publicJwk.n)])
      assert.match(
        await refusal(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`),
        /"alg"/,
      );
    const own = header({ alg: 'RS256', jwk: github.publicJwk, jku: 'http://evil.example/keys', kid: 'key-1' });
    assert.match(await refusal(`${own}.${payload}.${signature}`), /signature verification failed/);
    for (const text of ['', 'x', 'a.b.c', `${header({ alg: 'RS256' })}.${payload}`, 'x'.repeat(20_000)])
      await refusal(text);
  });

  test('a token signed by an issuer for which another one speaks is refused', async () => {
    const posing = await cluster.token({ ...right, iss: github.issuer }, now());
    assert.match(await refusal(posing), /signature verification failed/);
  });

  test('an application that trusts nobody, or does not exist, asks nobody', async () => {
    assert.match(await refusal(await tokenOf(), ids.guid()), /no federated credential/);
    assert.match(await refusal(await tokenOf(right, cluster)), /no federated credential/);
    assert.deepEqual(github.requests, []);
  });

  test('keys are fetched once, and again when the issuer signs with a new one, at most once a minute', async () => {
    for (let times = 0; times < 3; times += 1) await signIn(await tokenOf());
    assert.deepEqual(github.requests, ['/.well-known/openid-configuration', '/keys']);
    await github.rotate();
    assert.match(await refusal(await tokenOf()), /no applicable key found/);
    assert.equal(github.requests.length, 2);
    clock.advance(60_000);
    const tokens = await Promise.all([1, 2, 3].map(() => tokenOf()));
    await Promise.all(tokens.map((token) => signIn(token)));
    assert.equal(github.requests.length, 4);
    clock.advance(60 * 60_000);
    await signIn(await tokenOf());
    assert.equal(github.requests.length, 6);
  });

  test('an issuer that is away is asked again after a pause', async () => {
    github.isDown = true;
    assert.match(await refusal(await tokenOf()), /keys of the issuer cannot be fetched/);
    github.isDown = false;
    assert.match(await refusal(await tokenOf()), /keys of the issuer cannot be fetched/);
    assert.equal(github.requests.length, 1);
    clock.advance(10_000);
    await signIn(await tokenOf());
  });

  test('an identity that is removed is signed in by no token', async () => {
    const change = { tenantUid: tenant.tenantUid, actor: 'owner' };
    await tenant.journal.transaction((tx, append) => removeManagedIdentity(tx, append, identity.uid, change));
    assert.match(await refusal(await tokenOf(), identity.clientId), /no federated credential/);
  });
});
