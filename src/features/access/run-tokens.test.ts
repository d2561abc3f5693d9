import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { basic, sampleCircumstances, sampleProcess } from '../../../test/support/sample-access.ts';
import { type SamplePerson, type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { type NetworkRules, openAccess } from '../registries/registry.ts';
import type { Action } from './decision.ts';
import type { RunToken, RunTokenRequest } from './run-tokens.ts';

const acrPush = '8311e382-0749-4cb8-b61a-304f252e45ec';
const pullAndPush = [{ type: 'repository', name: 'team/*', actions: ['pull', 'push'] }] as const;

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleRoles;
  let pusher: SamplePerson;

  before(async () => {
    database = await open();
    sample = await sampleRoles(database);
    pusher = await sample.person('pusher');
    await sample.assign(pusher, acrPush, sample.contoso);
  });
  beforeEach(() => setRules({}));
  after(() => sample.close());

  const setRules = async (rules: Partial<NetworkRules>) => {
    await database.transaction(async (tx) => {
      await raiseAccessEpoch(tx, sample.tenantUid);
      await tx
        .updateTable('registries')
        .set({ network_rules: JSON.stringify({ ...openAccess.network, ...rules }) })
        .where('uid', '=', sample.registryUid)
        .execute();
    });
    await sample.here.directory.refresh();
  };
  const issue = (more: Partial<RunTokenRequest> = {}) =>
    sample.here.runTokens.issue({
      registryUid: sample.registryUid,
      principalUid: pusher.uid,
      scopes: pullAndPush,
      isTrustedService: true,
      lifetimeSeconds: 3_600,
      run: 'ca1',
      ...more,
    });
  const registryOf = (uid: string) => sample.here.directory.byUid(uid) ?? assert.fail();
  const ask = async (
    authorization: string,
    action: Action,
    repository = 'team/app',
    { here = sample.here, uid = sample.registryUid } = {},
  ): Promise<string> => {
    try {
      await here.authorize({
        registry: registryOf(uid),
        authorization,
        action,
        repository: parseRepositoryName(repository),
        circumstances: sampleCircumstances,
      });
      return 'allowed';
    } catch (error) {
      return error instanceof Error && 'error' in error ? String(error.error) : assert.fail(String(error));
    }
  };
  const header = ({ userName, password }: RunToken) => basic(userName, password);
  const bearer = async (token: RunToken, scope: { name: string; actions: readonly string[] }) => {
    const issued = await sample.here.issueTokens({
      registry: registryOf(sample.registryUid),
      credentials: { kind: 'refreshToken', token: token.password },
      asked: [{ type: 'repository', ...scope }],
      wantsRefreshToken: true,
      circumstances: { ...sampleCircumstances, surface: 'token' },
    });
    return { access: `Bearer ${issued.accessToken}`, refresh: basic(token.userName, issued.refreshToken ?? '') };
  };

  test('a run does what its token names, and no more than whom it runs for', async () => {
    const token = await issue();
    assert.equal(await ask(header(token), 'push'), 'allowed');
    assert.equal(await ask(header(token), 'pull', 'other/app'), 'insufficientScope');
    assert.equal(await ask(header(token), 'metadata_read'), 'insufficientScope');
    assert.equal(await ask(header(token), 'catalogList'), 'insufficientScope');
    assert.equal(await ask(header(token), 'administer'), 'insufficientScope');
    const wide = await issue({ scopes: [{ type: 'repository', name: '*', actions: ['pull', 'push', 'delete'] }] });
    assert.equal(await ask(header(wide), 'pull', 'other/app'), 'allowed');
    assert.equal(await ask(header(wide), 'delete', 'other/app'), 'denied');
  });

  test('what it buys is limited alike', async () => {
    const token = await issue();
    const team = await bearer(token, { name: 'team/app', actions: ['pull', 'push', 'delete', 'metadata_read'] });
    assert.equal(await ask(team.access, 'push'), 'allowed');
    assert.equal(await ask(team.access, 'metadata_read'), 'insufficientScope');
    assert.equal(await ask(team.refresh, 'pull', 'other/app'), 'insufficientScope');
    for (const name of ['*', 'other/app', 'tea/*', 'team'])
      assert.equal(await ask((await bearer(token, { name, actions: ['pull'] })).access, 'pull'), 'insufficientScope');
    const below = await bearer(token, { name: 'team/sub/*', actions: ['pull'] });
    assert.equal(await ask(below.access, 'pull', 'team/sub/app'), 'allowed');
    assert.equal(await ask(below.access, 'pull', 'team/app'), 'insufficientScope');
  });

  test('it ends with the run on every process, with its time, and opens no other registry', async () => {
    const clock = new HeldClock();
    const elsewhere = await sampleProcess(database, sample.tenantUid, clock);
    try {
      const token = await issue();
      const { access } = await bearer(token, { name: 'team/app', actions: ['pull'] });
      for (const shown of [header(token), access]) {
        assert.equal(await ask(shown, 'connect', 'team/app', { here: elsewhere }), 'allowed');
        assert.equal(await ask(shown, 'connect', 'team/app', { uid: sample.otherUid }), 'credentialsWrong');
      }
      const other = await issue();
      await sample.here.runTokens.end(token.tokenUid);
      await sample.here.runTokens.end(token.tokenUid);
      for (const shown of [header(token), access])
        assert.equal(await ask(shown, 'connect', 'team/app', { here: elsewhere }), 'credentialsWrong');
      assert.equal(await ask(header(other), 'connect', 'team/app', { here: elsewhere }), 'allowed');
      clock.advance(3_600_000);
      assert.equal(await ask(header(other), 'connect', 'team/app', { here: elsewhere }), 'credentialsWrong');
    } finally {
      await elsewhere.close();
    }
  });

  test('a right taken from the principal is taken from its runs', async () => {
    const leaver = await sample.person('leaver');
    const assignment = await sample.assign(leaver, acrPush, sample.contoso);
    const token = await issue({ principalUid: leaver.uid });
    assert.equal(await ask(header(token), 'push'), 'allowed');
    assert.equal((await sample.send('DELETE', assignment)).status, 200);
    await sample.here.directory.refresh();
    assert.equal(await ask(header(token), 'push'), 'denied');
    await assert.rejects(issue({ principalUid: 'nobody' }), { error: 'directoryObjectUnknown' });
    await assert.rejects(issue({ registryUid: 'nothing' }), { error: 'registryUnknown' });
    await assert.rejects(issue({ lifetimeSeconds: 86_401 }), RangeError);
  });

  test('network rules let a trusted run in while they let trusted services in, and nobody else', async () => {
    const trusted = await issue();
    const { access, refresh } = await bearer(trusted, { name: 'team/app', actions: ['pull'] });
    const plain = await issue({ isTrustedService: false });
    await setRules({ isPublic: false });
    for (const shown of [header(trusted), access, refresh]) assert.equal(await ask(shown, 'pull'), 'allowed');
    const again = await bearer(trusted, { name: 'team/app', actions: ['push'] });
    assert.equal(await ask(again.access, 'push'), 'allowed');
    assert.equal(await ask(again.access, 'pull'), 'insufficientScope');
    const forged = header({ ...trusted, password: `${trusted.password.slice(0, -4)}AAAA` });
    for (const shown of [header(plain), pusher.header, forged, 'Bearer none', 'Basic !'])
      assert.equal(await ask(shown, 'pull'), 'networkDenied', shown);
    await setRules({ isPublic: false, admitsTrustedServices: false });
    for (const shown of [header(trusted), access]) assert.equal(await ask(shown, 'pull'), 'networkDenied');
    await setRules({ isPublic: false });
    assert.equal(await ask(access, 'pull'), 'allowed');
    await sample.here.runTokens.end(trusted.tokenUid);
    await sample.here.directory.refresh();
    for (const shown of [header(trusted), access]) assert.equal(await ask(shown, 'pull'), 'credentialsWrong');
  });

  test('what others may do is read again when a run ends, and not when one begins or has ended', async () => {
    const epoch = async () => {
      const rows = await database.read.selectFrom('tenants').select('access_epoch').execute();
      return rows.map((row) => row.access_epoch);
    };
    const before = await epoch();
    const token = await issue();
    assert.equal(await ask(header(token), 'push'), 'allowed');
    assert.deepEqual(await epoch(), before);
    await sample.here.runTokens.end(token.tokenUid);
    const ended = await epoch();
    assert.notDeepEqual(ended, before);
    await sample.here.runTokens.end(token.tokenUid);
    assert.deepEqual(await epoch(), ended);
  });

  test('journal and directory show when a run began and ended, and no credential of it', async () => {
    const token = await issue({ run: 'ca77' });
    await sample.here.runTokens.end(token.tokenUid);
    const cursor = await sample.here.journal.start(`tenant/${sample.tenantUid}`);
    const events = (await sample.here.journal.after(cursor, 1_000)).filter(({ data }) => data.uid === token.tokenUid);
    assert.deepEqual(
      events.map(({ type, actor }) => [type, actor]),
      [
        ['runToken.issued', pusher.uid],
        ['runToken.ended', pusher.uid],
      ],
    );
    assert.equal(events[0]?.data.run, 'ca77');
    assert(!JSON.stringify(events).includes(token.password));
  });
});
