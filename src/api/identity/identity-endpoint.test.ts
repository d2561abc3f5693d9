import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { type SampleTenant, sampleTenant } from '../../../test/support/sample-tenant.ts';
import { BerthError } from '../../core/errors.ts';
import { raiseAccessEpoch } from '../../features/identity/access-epoch.ts';
import { IdentityBindings } from '../../features/identity/identity-bindings.ts';
import { createMachineSignIn } from '../../features/identity/machine-sign-in.ts';
import {
  type ManagedIdentity,
  removeManagedIdentity,
  writeManagedIdentity,
} from '../../features/identity/managed-identities.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import { TenantTokens } from '../../features/identity/tenant-tokens.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createPasswordHasher } from '../../platform/keys/password-hasher.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { identityErrorSchema, identityTokenAnswer } from '../../wire/identity/identity-messages.ts';
import { answerWith } from '../middleware/answer.ts';
import { type HttpServers, startHttpServers } from '../middleware/http-servers.ts';
import { createMetrics } from '../middleware/metrics.ts';
import { identityEndpoint } from './identity-endpoint.ts';

const resource = 'https://management.azure.com/';
const imds = '/metadata/identity/oauth2/token';
const appService = '/msi/token';
const lines: { readonly kind: string; readonly identity: string; readonly status: number }[] = [];
const accessLog = {
  record: (line: (typeof lines)[number]) => {
    lines.push(line);
  },
  flush: async () => {},
  close: async () => {},
};

forEachDatabase((_, open) => {
  let tenant: SampleTenant;
  let database: Database;
  let bindings: IdentityBindings;
  let servers: HttpServers;
  let origin = '';
  const clock = new HeldClock();
  const builder = identity('builder');
  const puller = identity('puller');

  before(async () => {
    database = await open();
    tenant = await sampleTenant(database, clock);
    const { tenantUid, tenantId, keys, journal } = tenant;
    bindings = new IdentityBindings({ database, journal, clock, ids, tenantUid, passwords: createPasswordHasher(ids) });
    await writeBoth();
    const tenantTokens = new TenantTokens({ clock, ids, keys, tenantId, domain: 'berth.test', lifetimeSeconds: 3600 });
    const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
    const metrics = createMetrics({ droppedLogLines: () => 0 });
    const parts = { tenantTokens, accessLog, ids, log, metrics, domain: 'berth.test', host: 'identities.test' };
    const machineSignIn = createMachineSignIn({ identityBindings: bindings, accessLog, clock });
    const app = identityEndpoint({ ...parts, machineSignIn, clock: systemClock });
    const port = await freePort();
    const listeners = [{ host: '127.0.0.1', port }];
    servers = await startHttpServers({ listeners, answer: answerWith(app), clock: systemClock });
    origin = `http://127.0.0.1:${port}`;
  });
  after(() => servers.stop(0));

  function identity(name: string): ManagedIdentity {
    return { uid: ids.uid(), clientId: ids.guid(), name, resourceId: `/subscriptions/s/${name}`, kind: 'userAssigned' };
  }
  const change = () => ({ tenantUid: tenant.tenantUid, actor: 'owner', nowMicros: clock.nowMicros() });
  const writeBoth = () =>
    tenant.journal.transaction(async (tx, append) => {
      for (const each of [builder, puller]) await writeManagedIdentity(tx, append, each, change());
    });
  const bound = (name: string, network?: string) => bindings.add({ identity: name, network, actor: 'owner' });
  const ask = async (path: string, headers: Readonly<Record<string, string>>, more = '') =>
    await fetch(`${origin}${path}?api-version=2019-08-01&resource=${encodeURIComponent(resource)}${more}`, { headers });
  const token = async (answer: Response) => {
    assert.equal(answer.status, 200, await answer.clone().text());
    return identityTokenAnswer.parse(await answer.json());
  };
  const refusal = async (answer: Response, status: number) => {
    const { error, error_description: text, statusCode } = identityErrorSchema.parse(await answer.json());
    assert.deepEqual([answer.status, statusCode], [status, status]);
    return `${error}: ${text}`;
  };
  const caller = async (accessToken: string) =>
    (await tenant.tenantCaller(`Bearer ${accessToken}`, 'resourceManager')).name;
  const removeAll = async () => {
    for (const { uid } of await bindings.list()) await bindings.remove(uid, 'owner');
  };

  test('a machine at a bound address is given a token that is good until the binding goes', async () => {
    assert.match(await refusal(await ask(imds, { metadata: 'true' }), 400), /^invalid_request: Identity not found/);
    const { binding } = await bound(builder.clientId, '127.0.0.0/8');
    const answer = await token(await ask(imds, { Metadata: 'True' }));
    assert.deepEqual([answer.client_id, answer.resource, answer.expires_in], [builder.clientId, resource, '3600']);
    assert.equal(answer.expires_on, String(Math.floor(clock.nowMicros() / 1_000_000) + 3600));
    const { tid, oid, appid, idtyp } = decodeJwt(answer.access_token);
    assert.deepEqual([tid, oid, appid, idtyp], [tenant.tenantId, objectIdOf(builder.uid), builder.clientId, 'app']);
    assert.equal(await caller(answer.access_token), 'builder');
    assert.partialDeepStrictEqual(lines.slice(-2), [
      { kind: 'signIn', identity: builder.uid, status: 200 },
      { kind: 'tokenIssue', identity: builder.uid, status: 200 },
    ]);
    assert.equal((await token(await ask(`${imds}/`, { metadata: 'true' }))).client_id, builder.clientId);
    await bindings.remove(binding.uid, 'owner');
    await assert.rejects(caller(answer.access_token), BerthError);
  });

  test('machines are looked for in what was read since rights changed, by whatever process', async () => {
    const { binding } = await bound(builder.clientId, '127.0.0.0/8');
    await token(await ask(imds, { metadata: 'true' }));
    const elsewhere = JSON.stringify({ network: '192.0.2.0/24' });
    const move = (tx: Transaction) =>
      tx.updateTable('secrets').set({ verifier: elsewhere }).where('uid', '=', binding.uid).execute();
    await database.transaction(move);
    await token(await ask(imds, { metadata: 'true' }));
    await database.transaction((tx) => raiseAccessEpoch(tx, tenant.tenantUid));
    assert.equal((await ask(imds, { metadata: 'true' })).status, 400);
    await removeAll();
  });

  test('whoever shows the secret is given a token, in the versions of 2019 and 2017', async () => {
    const { secret = '' } = await bound('puller');
    for (const name of ['x-identity-header', 'secret']) {
      const answer = await token(await ask(appService, { [name]: secret }));
      assert.equal(await caller(answer.access_token), 'puller');
    }
    assert.equal((await token(await ask(`${appService}/`, { secret }))).client_id, puller.clientId);
    await removeAll();
    assert.match(await refusal(await ask(appService, { secret }), 401), /^unauthorized_client: .*removed/);
  });

  test('of several identities the request names one', async () => {
    for (const { clientId } of [builder, puller]) await bound(clientId, '127.0.0.1');
    const here = { metadata: 'true' };
    assert.match(await refusal(await ask(imds, here), 400), /Multiple user assigned identities exist/);
    for (const name of [`client_id=${puller.clientId}`, `object_id=${objectIdOf(puller.uid)}`])
      assert.equal((await token(await ask(imds, here, `&${name}`))).client_id, puller.clientId);
    const byResource = `&msi_res_id=${encodeURIComponent(builder.resourceId.toUpperCase())}`;
    assert.equal((await token(await ask(imds, here, byResource))).client_id, builder.clientId);
    assert.match(await refusal(await ask(imds, here, `&client_id=${ids.guid()}`), 400), /Identity not found/);
    const twice = `&client_id=${puller.clientId}&object_id=${objectIdOf(puller.uid)}`;
    assert.match(await refusal(await ask(imds, here, twice), 400), /one of client_id/);
    await removeAll();
  });

  test('the form of clients of before 2021 is read', async () => {
    await bound(builder.clientId, '127.0.0.1');
    const body = new URLSearchParams({ resource, client_id: builder.clientId });
    const answer = await fetch(`${origin}${appService}`, { method: 'POST', headers: { metadata: 'true' }, body });
    assert.equal((await token(answer)).client_id, builder.clientId);
    await removeAll();
  });

  test('what a page in a browser, a redirect or a proxy would send is refused', async () => {
    await bound(builder.clientId, '127.0.0.1');
    const { secret = '' } = await bound(builder.clientId);
    for (const [headers, text] of [
      [{}, /Metadata: true is missing/],
      [{ metadata: 'false' }, /Metadata: true is missing/],
      [{ metadata: 'true', 'x-forwarded-for': '10.0.0.1' }, /x-forwarded-for/],
      [{ metadata: 'true', forwarded: 'for=10.0.0.1' }, /forwarded/],
      [{ metadata: 'true', via: '1.1 proxy' }, /via/],
    ] as const)
      assert.match(await refusal(await ask(imds, headers), 400), text);
    assert.match(await refusal(await ask(appService, { metadata: 'true' }), 400), /X-IDENTITY-HEADER is missing/);
    assert.match(await refusal(await ask(appService, { secret, 'x-forwarded-for': '10.0.0.1' }), 400), /proxy/);
    assert.match(await refusal(await fetch(`${origin}/v2/`), 404), /No such route/);
    assert.match((await ask(imds, {})).headers.get('x-ms-correlation-request-id') ?? '', /^[0-9a-f-]{36}$/);
    const unversioned = await fetch(`${origin}${imds}?resource=${resource}`, { headers: { metadata: 'true' } });
    assert.match(await refusal(unversioned, 400), /api-version/);
    const other = await fetch(`${origin}${imds}?api-version=2018-02-01&resource=https://vault.azure.net`, {
      headers: { metadata: 'true' },
    });
    assert.match(await refusal(other, 400), /^invalid_resource: The resource .* not known/);
    await removeAll();
  });

  test('guessed secrets are slowed down, and the right one is heard all the same', async () => {
    clock.advance(61_000);
    const { secret = '', binding } = await bound(builder.clientId);
    const wrong = [`${binding.uid}.wrong`, binding.uid, '', `${secret}x`, secret.slice(0, -1)];
    for (const guess of [...wrong, ...wrong]) await refusal(await ask(appService, { secret: guess }), 401);
    const slowed = await ask(appService, { secret: 'x' });
    assert.ok(Number(slowed.headers.get('retry-after')) > 0);
    await refusal(slowed, 429);
    await token(await ask(appService, { secret }));
    clock.advance(61_000);
    await refusal(await ask(appService, { secret: 'x' }), 401);
    await removeAll();
  });

  test('an identity that is removed leaves with its bindings and tokens', async () => {
    const { secret = '' } = await bound(builder.clientId);
    const { access_token: accessToken } = await token(await ask(appService, { secret }));
    await tenant.journal.transaction((tx, append) => removeManagedIdentity(tx, append, builder.uid, change()));
    assert.deepEqual(await bindings.list(), []);
    await assert.rejects(caller(accessToken), BerthError);
    await refusal(await ask(appService, { secret }), 401);
    await writeBoth();
  });

  for (const [network, problem] of [
    ['10.0.0.0/7', /too wide/],
    ['::/0', /too wide/],
    ['10.0.0.0/33', /no address or network/],
    ['10.0.0.0/', /no address or network/],
    ['10.0.0.0/8/8', /no address or network/],
    ['fe80::1%eth0', /no address or network/],
    ['localhost', /no address or network/],
    ['', /no address or network/],
  ] as const) {
    test(`nothing is bound to '${network}'`, async () => {
      await assert.rejects(bound(builder.clientId, network), (error) => {
        assert.ok(error instanceof BerthError && error.error === 'bindingInvalid');
        assert.match(String(error.detail), problem);
        return true;
      });
    });
  }

  test('only identities that exist, and are for binding, are bound', async () => {
    await tenant.journal.transaction(async (tx, append) => {
      const own = { ...identity('contoso'), kind: 'systemAssigned' } as const;
      await writeManagedIdentity(tx, append, own, change());
      await writeManagedIdentity(tx, append, { ...identity('twin'), name: 'puller' }, change());
    });
    await assert.rejects(bound('contoso'), { error: 'managedIdentityUnknown' });
    await assert.rejects(bound(ids.guid()), { error: 'managedIdentityUnknown' });
    await assert.rejects(bound('puller'), { error: 'bindingInvalid' });
    await assert.rejects(bindings.remove('nothing', 'owner'), { error: 'bindingUnknown' });
  });
});
