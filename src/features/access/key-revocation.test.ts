import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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
import { systemIds as ids } from '../../platform/system-ids.ts';
import { createTenantCaller } from '../identity/tenant-caller.ts';
import type { SignedIn } from '../identity/tenant-tokens.ts';
import { tokenUserName } from './token-user-name.ts';

const repository = parseRepositoryName('app');
const wrong = { error: 'credentialsWrong' };

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let sample: SampleAccess;
  let here: SampleProcess;
  let there: SampleProcess;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    there = await sampleProcess(await open({ again: database }), sample.tenantUid, clock);
  });
  after(async () => {
    await here.close();
    await there.close();
  });

  const registryAt = (at: SampleProcess) => at.directory.byUid(sample.registryUid) ?? assert.fail();
  const pull = (at: SampleProcess, authorization: string) =>
    at.authorize({
      registry: registryAt(at),
      authorization,
      action: 'pull',
      repository,
      circumstances: sampleCircumstances,
    });
  const issue = async () => {
    const [password = ''] = await sample.adminPasswords(sample.registryUid);
    const issued = await here.issueTokens({
      registry: registryAt(here),
      credentials: { kind: 'header', authorization: basic('contoso', password) },
      asked: [{ type: 'repository', name: repository, actions: ['pull'] }],
      wantsRefreshToken: true,
      circumstances: sampleCircumstances,
    });
    return [`Bearer ${issued.accessToken}`, basic(tokenUserName, issued.refreshToken ?? '')];
  };
  const epoch = async () => {
    const row = await database.read.selectFrom('tenants').select('access_epoch').executeTakeFirstOrThrow();
    return row.access_epoch;
  };

  test('tokens of registries end with their key, those that a process knows included', async () => {
    const shown = await issue();
    const before = await Promise.all(shown.map((header) => pull(there, header)));
    const [key] = await here.keys.list();
    assert.equal(await here.keys.revoke(key?.kid ?? '', 'test'), true);
    // What content reads tells the epoch, and nothing else asks for it.
    for (const authority of before) await assert.rejects(authority.confirm(await epoch()), wrong);
    for (const header of shown) for (const at of [there, here]) await assert.rejects(pull(at, header), wrong);
    for (const header of await issue()) for (const at of [there, here]) await pull(at, header);
  });

  test('tokens of the tenant end with theirs', async () => {
    const owner = await database.read
      .selectFrom('principals as p')
      .innerJoin('secrets as s', 's.principal_uid', 'p.uid')
      .where('p.is_owner', '=', 1)
      .select(['p.uid', 'p.kind', 's.uid as credentialUid', 'p.login_key'])
      .executeTakeFirstOrThrow();
    const who: SignedIn = {
      principal: { kind: owner.kind, uid: owner.uid, name: 'olivia', isOwner: true, registryUid: undefined },
      credentialUid: owner.credentialUid,
      loginName: owner.login_key,
      clientId: '04b07795-8ddb-461a-bbee-02f9e1bf7b46',
      proof: 'none',
    };
    const callers = [here, there].map(({ tenantTokens }) => createTenantCaller({ database, clock, ids, tenantTokens }));
    const { token } = await here.tenantTokens.issueAccess(who, 'resourceManager');
    const ask = (call: (typeof callers)[number], shown: string) => call(`Bearer ${shown}`, 'resourceManager');
    for (const call of callers) assert.equal((await ask(call, token)).uid, owner.uid);
    const exchange = (at: SampleProcess) =>
      at.exchangeToken({
        registry: registryAt(at),
        proof: { kind: 'accessToken', token },
        tenant: undefined,
        circumstances: { ...sampleCircumstances, surface: 'token' },
      });
    await exchange(there);
    const [key] = await there.tenantKeys.list();
    assert.equal(await there.tenantKeys.revoke(key?.kid ?? '', 'test'), true);
    for (const call of callers) await assert.rejects(ask(call, token), { error: 'unauthorized' });
    for (const at of [here, there]) await assert.rejects(exchange(at), wrong);
    const { token: young } = await here.tenantTokens.issueAccess(who, 'resourceManager');
    for (const call of callers) await ask(call, young);
  });
});
