import assert from 'node:assert/strict';
import { createHmac, createPublicKey, type KeyObject } from 'node:crypto';
import { afterEach, before, beforeEach, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  basic,
  type SampleAccess,
  type SampleProcess,
  sampleAccess,
  sampleCircumstances,
  sampleProcess,
} from '../../../test/support/sample-access.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import type { SignedIn } from '../identity/tenant-tokens.ts';
import type { Registry } from '../registries/registry.ts';

const repository = parseRepositoryName('team/app');
const tokenUserName = '00000000-0000-0000-0000-000000000000';
const wrong = { error: 'credentialsWrong' };
const foreignKid = 'abcdefghijklmnopqrstuvwxyz'.slice(0, 26);

type Parts = {
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
  readonly signature: string;
};

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let sample: SampleAccess;
  let here: SampleProcess;
  let registry: Registry;
  let access: string;
  let refresh: string;
  let publicKey: KeyObject;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
  });
  beforeEach(async () => {
    here = await sampleProcess(database, sample.tenantUid, clock);
    registry = here.directory.byUid(sample.registryUid) ?? assert.fail();
    const [password = ''] = await sample.adminPasswords(sample.registryUid);
    const issued = await here.issueTokens({
      registry,
      credentials: { kind: 'header', authorization: basic('contoso', password) },
      asked: [{ type: 'repository', name: repository, actions: ['pull'] }],
      wantsRefreshToken: true,
      circumstances: sampleCircumstances,
    });
    access = issued.accessToken;
    refresh = issued.refreshToken ?? assert.fail();
    const row = await database.read.selectFrom('signing_keys').select('public_jwk').executeTakeFirstOrThrow();
    publicKey = createPublicKey({ key: JSON.parse(row.public_jwk), format: 'jwk' });
  });
  afterEach(() => here.close());

  const pullWith = (authorization: string) =>
    here.authorize({ registry, authorization, action: 'pull', repository, circumstances: sampleCircumstances });
  const pull = (token: string) => pullWith(`Bearer ${token}`);
  const issue = (credentials: Parameters<SampleProcess['issueTokens']>[0]['credentials']) =>
    here.issueTokens({
      registry,
      credentials,
      asked: [{ type: 'repository', name: repository, actions: ['pull'] }],
      wantsRefreshToken: true,
      circumstances: sampleCircumstances,
    });

  test('the token the forgeries are made from is accepted, and holds the claims clients read', async () => {
    await pull(access);
    const { header, claims } = split(access);
    assert.deepEqual(Object.keys(header).sort(), ['alg', 'kid', 'typ']);
    assert.deepEqual(
      { ...claims, jti: undefined, registry: undefined, principal: undefined, credential: undefined, epoch: undefined },
      {
        jti: undefined,
        sub: 'Contoso',
        nbf: clock.nowMicros() / 1_000_000,
        iat: clock.nowMicros() / 1_000_000,
        exp: clock.nowMicros() / 1_000_000 + 4500,
        iss: 'Azure Container Registry',
        aud: 'contoso.berth.test:5443',
        version: '1.0',
        roles: [],
        grant_type: 'access_token',
        access: [{ type: 'repository', name: 'team/app', actions: ['pull'] }],
        registry: undefined,
        principal: undefined,
        credential: undefined,
        epoch: undefined,
      },
    );
  });

  test('no forged token is accepted', async () => {
    const { header, claims, signature } = split(access);
    const foreign = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(foreign.publicKey);
    const byForeignKey = (protectedHeader: Record<string, unknown>) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'ES256', ...protectedHeader }).sign(foreign.privateKey);
    const byUs = (changed: Record<string, unknown>) => here.keys.sign({ ...claims, ...changed });
    const now = clock.nowMicros() / 1_000_000;
    const hmac = (key: string | Buffer) => {
      const input = `${encode({ ...header, alg: 'HS256' })}.${encode(claims)}`;
      return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`;
    };
    const { exp: _, ...immortal } = claims;
    const forged: Readonly<Record<string, string | Promise<string>>> = {
      'alg none without signature': `${encode({ ...header, alg: 'none' })}.${encode(claims)}.`,
      'alg none with the signature': join({ header: { ...header, alg: 'none' }, claims, signature }),
      'HS256 with the public key in PEM': hmac(publicKey.export({ type: 'spki', format: 'pem' })),
      'HS256 with the public key in DER': hmac(publicKey.export({ type: 'spki', format: 'der' })),
      'HS256 with the public key as JWK': hmac(JSON.stringify(publicKey.export({ format: 'jwk' }))),
      'claims changed after signing': join({ header, claims: { ...claims, sub: 'owner' }, signature }),
      'signature of zeros': join({ header, claims, signature: Buffer.alloc(64).toString('base64url') }),
      'signature missing': join({ header, claims, signature: '' }),
      'signed by a foreign key under our kid': byForeignKey({ typ: 'JWT', kid: header.kid }),
      'signed by a foreign key under its own kid': byForeignKey({ typ: 'JWT', kid: foreignKid }),
      'signed by a foreign key without kid': byForeignKey({ typ: 'JWT' }),
      'foreign key in jwk': byForeignKey({ typ: 'JWT', kid: header.kid, jwk }),
      'foreign key at jku': byForeignKey({ typ: 'JWT', kid: header.kid, jku: 'http://127.0.0.1:9/keys' }),
      'foreign key at x5u': byForeignKey({ typ: 'JWT', kid: header.kid, x5u: 'http://127.0.0.1:9/keys' }),
      'foreign key in x5c': byForeignKey({ typ: 'JWT', kid: header.kid, x5c: ['MIIB'] }),
      'unknown crit': join({ header: { ...header, crit: ['exp'], exp: now + 60 }, claims, signature }),
      'kid that is a path': byForeignKey({ typ: 'JWT', kid: '../../../etc/passwd' }),
      'kid that is SQL': byForeignKey({ typ: 'JWT', kid: "' or 1=1 --" }),
      'of another registry by name': byUs({ aud: 'fabrikam.berth.test:5443' }),
      'of several audiences': byUs({ aud: ['contoso.berth.test:5443', 'fabrikam.berth.test:5443'] }),
      'of another registry of the same name': byUs({ registry: 'another' }),
      'of another issuer': byUs({ iss: 'https://evil.example' }),
      'of another version': byUs({ version: '2.0' }),
      expired: byUs({ exp: now - 61 }),
      'not valid yet': byUs({ nbf: now + 120 }),
      'without end': here.keys.sign(immortal),
      'of a principal that does not exist': byUs({ principal: 'another' }),
      'of a secret that does not exist': byUs({ credential: 'another' }),
      'a stranger where anonymous pull is off': byUs({ credential: undefined, principal: 'anonymous' }),
      'a principal that claims to have shown no secret': byUs({ credential: undefined }),
      'a refresh token': refresh,
      'a token of the tenant for registries': here.tenantTokens
        .issueAccess(tenantSignIn(String(claims.principal), String(claims.credential)), 'registry')
        .then(({ token }) => token),
      'longer than any of ours': `${access}${'A'.repeat(9000)}`,
      'five parts': `${access}.AAAA.AAAA`,
      'not JSON': `${Buffer.from('header').toString('base64url')}.e30.AAAA`,
    };
    for (const [label, token] of Object.entries(forged)) {
      await assert.rejects(pull(await token), { error: /^(credentialsWrong|unauthorized)$/ }, label);
    }
    await pull(access);
  });

  test('no forged refresh token is accepted, as password or in a form', async () => {
    const { header, claims, signature } = split(refresh);
    const foreign = await generateKeyPair('ES256', { extractable: true });
    const byUs = (changed: Record<string, unknown>) => here.keys.sign({ ...claims, ...changed });
    const now = clock.nowMicros() / 1_000_000;
    const forged: Readonly<Record<string, string | Promise<string>>> = {
      'alg none': `${encode({ ...header, alg: 'none' })}.${encode(claims)}.`,
      'claims changed after signing': join({ header, claims: { ...claims, exp: now + 999_999 }, signature }),
      'signed by a foreign key': new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: String(header.kid) })
        .sign(foreign.privateKey),
      'of another registry': byUs({ aud: 'fabrikam.berth.test:5443' }),
      'of another registry of the same name': byUs({ registry: 'another' }),
      'of another issuer': byUs({ iss: here.tenantTokens.issuer }),
      expired: byUs({ exp: now - 61 }),
      'not valid yet': byUs({ nbf: now + 120 }),
      'of no secret': byUs({ credential: undefined }),
      'of a secret that does not exist': byUs({ credential: 'another' }),
      'of a principal that does not exist': byUs({ principal: 'another' }),
      'an access token': access,
      'an access token under the name of a refresh token': byUs({ grant_type: 'access_token' }),
      'the empty text': '',
    };
    for (const [label, token] of Object.entries(forged)) {
      const text = await token;
      await assert.rejects(pullWith(basic(tokenUserName, text)), wrong, label);
      await assert.rejects(issue({ kind: 'refreshToken', token: text }), wrong, label);
    }
    await pullWith(basic(tokenUserName, refresh));
  });

  test('no token of a registry administers the installation, whoever it is for', async () => {
    const credentials = { kind: 'password', userName: 'Olivia', password: sample.owner.password } as const;
    const asked = [{ type: 'repository', name: '*', actions: ['*'] }] as const;
    const issued = await here.issueTokens({
      ...{ registry, credentials, asked, wantsRefreshToken: true, circumstances: sampleCircumstances },
    });
    const administer = (authorization: string) =>
      here.authorize({
        ...{ registry, authorization, action: 'administer' },
        circumstances: { ...sampleCircumstances, surface: 'admin' },
      });
    await administer(basic('Olivia', sample.owner.password));
    await pullWith(basic(tokenUserName, issued.refreshToken ?? ''));
    await assert.rejects(administer(basic(tokenUserName, issued.refreshToken ?? '')), wrong);
    await pull(issued.accessToken);
    await assert.rejects(administer(`Bearer ${issued.accessToken}`), { error: 'insufficientScope' });
  });

  test('a minute between clocks is forgiven, and no more', async () => {
    const { claims } = split(access);
    const now = clock.nowMicros() / 1_000_000;
    const byUs = (changed: Record<string, unknown>) => here.keys.sign({ ...claims, ...changed });
    await pull(await byUs({ exp: now - 59 }));
    await pull(await byUs({ nbf: now + 59 }));
    await assert.rejects(pull(await byUs({ exp: now - 60 })), wrong);
    await assert.rejects(pull(await byUs({ nbf: now + 61 })), wrong);
    const { claims: longer } = split(refresh);
    const late = await here.keys.sign({ ...longer, exp: now - 30 });
    await pullWith(basic(tokenUserName, late));
    // What would be bought with it has ended before it begins.
    await assert.rejects(issue({ kind: 'refreshToken', token: late }), wrong);
  });

  test('tokens of an older epoch than the credentials of the registry have ended, also known ones; newer ones count', async () => {
    const header = basic(tokenUserName, refresh);
    await pull(access);
    await pullWith(header);
    await database.transaction(async (tx) => {
      await raiseAccessEpoch(tx, sample.tenantUid);
      const epoch = tx.selectFrom('tenants').where('uid', '=', sample.tenantUid).select('access_epoch');
      await tx
        .updateTable('registries')
        .set({ credentials_epoch: epoch })
        .where('uid', '=', sample.registryUid)
        .execute();
    });
    await here.directory.refresh();
    await assert.rejects(pull(access), wrong);
    await assert.rejects(pullWith(header), wrong);
    const [password = ''] = await sample.adminPasswords(sample.registryUid);
    const issued = await issue({ kind: 'header', authorization: basic('contoso', password) });
    await pull(issued.accessToken);
    await pullWith(basic(tokenUserName, issued.refreshToken ?? ''));
  });

  test('an access token buys no other token, and neither does anything but a refresh token where one is asked for', async () => {
    await issue({ kind: 'refreshToken', token: refresh });
    await assert.rejects(issue({ kind: 'refreshToken', token: access }), { error: 'credentialsWrong' });
    await assert.rejects(issue({ kind: 'header', authorization: `Bearer ${access}` }), { error: 'credentialsWrong' });
    await assert.rejects(issue({ kind: 'header', authorization: `Bearer ${refresh}` }), { error: 'credentialsWrong' });
  });
});

/** Somebody of the tenant as the token's own principal. */
function tenantSignIn(uid: string, credentialUid: string): SignedIn {
  const principal = { kind: 'user', uid, name: 'Olivia', isOwner: true, registryUid: undefined } as const;
  return { principal, credentialUid, loginName: 'olivia', clientId: 'client', proof: 'none' };
}

function encode(value: Record<string, unknown>): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function join({ header, claims, signature }: Parts): string {
  return `${encode(header)}.${encode(claims)}.${signature}`;
}

function split(token: string): Parts {
  const [header = '', claims = '', signature = ''] = token.split('.');
  const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
  return { header: decode(header), claims: decode(claims), signature };
}
