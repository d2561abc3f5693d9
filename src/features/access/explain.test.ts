import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SamplePerson, type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import type { Reference } from '../../core/reference.ts';
import type { Database } from '../../platform/database/database.ts';
import { createExplain, type Explain } from './explain.ts';
import { createRightsSource } from './rights-source.ts';

const acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d';
const repositoryReader = 'b93aa761-3e63-49ed-ac28-beffa264f7ac';
const write = 'Microsoft.ContainerRegistry/registries/write';

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleRoles;
  let explain: Explain;
  let ann: SamplePerson;
  let pull = '';
  const asked: (Reference | undefined)[] = [];

  before(async () => {
    database = await open();
    sample = await sampleRoles(database);
    const { directory } = sample.here;
    explain = createExplain({
      ...{ database, directory, tenantUid: sample.tenantUid },
      rightsSource: createRightsSource({ database }),
      hindrances: async ({ reference, action }) => {
        asked.push(reference);
        const by = { by: 'a lock', reason: 'it is locked', remedy: 'Unlock it.' };
        if (action === 'push') return [{ ...by, isCertain: false }];
        return reference?.kind === 'tag' && reference.tag === 'locked' ? [{ ...by, isCertain: true }] : [];
      },
    });
    sample.runJobs();
    ann = await sample.person('ann');
    pull = await sample.assign(ann, acrPull, sample.contoso);
  });
  after(() => sample.close());

  const ask = (principal: string, action: string, scope: string, address?: string) =>
    explain({ principal, action, scope, address });

  test('whoever is allowed is so by an assignment, whatever name and scope are asked in', async () => {
    for (const name of [ann.objectId, 'ANN'])
      for (const scope of ['contoso', 'Contoso/team/app', sample.contoso, `${sample.contoso}/repositories/team/app`]) {
        const { isAllowed, by, principal } = await ask(name, 'pull', scope);
        assert.deepEqual(
          { isAllowed, by, uid: principal.uid },
          { isAllowed: true, by: `role 'AcrPull' by ${pull}`, uid: ann.uid },
        );
      }
  });

  test('what refuses a request whatever the rights are is told, with the right that is there', async () => {
    const locked = await ask('ann', 'pull', 'contoso/team/app:locked');
    assert.deepEqual([locked.isAllowed, locked.reason, locked.remedy], [false, 'it is locked', 'Unlock it.']);
    assert(locked.considered.some(({ by, gives }) => by.includes('AcrPull') && gives.includes('pull')));
    assert(locked.considered.some(({ by }) => by === 'a lock'));
    const digest = `sha256:${'0'.repeat(64)}`;
    assert.equal((await ask('ann', 'pull', `contoso/team/app:locked@${digest}`)).isAllowed, true);
    assert.deepEqual(asked.slice(-2), [
      { kind: 'tag', tag: 'locked' },
      { kind: 'digest', digest },
    ]);
    assert.equal((await ask('ann', 'pull', `${sample.contoso}/repositories/team/app:locked`)).isAllowed, false);
    const other = await ask('ann', 'push', 'contoso/team/app:locked');
    assert.match(other.reason ?? '', /nothing gives ann push/, 'rights come first');
    await assert.rejects(ask('ann', 'pull', 'contoso/team/app:no tag'), { error: 'tagInvalid' });
    const perhaps = await ask(sample.owner.objectId, 'push', 'contoso/team/app');
    assert.equal(perhaps.isAllowed, true);
    assert(perhaps.considered.some(({ note }) => note === 'it is locked'));
  });

  test('a lock of the resource manager is told, which no role passes', async () => {
    const lock = `${sample.group}/providers/Microsoft.Authorization/locks/keep`;
    const remove = 'Microsoft.ContainerRegistry/registries/delete';
    const owner = sample.owner.objectId;
    assert.equal((await ask(owner, remove, sample.contoso)).isAllowed, true);
    assert.equal((await sample.send('PUT', lock, { properties: { level: 'CanNotDelete' } })).status, 201);
    const denied = await ask(owner, remove, sample.contoso);
    assert.equal(denied.isAllowed, false);
    assert.match(denied.reason ?? '', /locked.*\(keep\)/);
    assert.equal((await ask(owner, write, sample.contoso)).isAllowed, true);
    assert.equal((await ask(owner, 'Microsoft.Authorization/locks/delete', lock)).isAllowed, true);
    await sample.send('PUT', lock, { properties: { level: 'ReadOnly' } });
    assert.equal((await ask(owner, write, sample.contoso)).isAllowed, false);
    assert.equal((await sample.send('DELETE', lock)).status, 200);
    assert.equal((await ask(owner, write, sample.contoso)).isAllowed, true);
  });

  test('a denial names what is missing, and which roles would give it', async () => {
    const push = await ask('ann', 'push', 'contoso/team/app');
    assert.equal(push.isAllowed, false);
    assert.match(push.reason ?? '', /ann/);
    assert.match(push.remedy ?? '', /LegacyRegistryPermissions: Owner, Contributor, AcrPush\.$/);
    const elsewhere = await ask('ann', 'pull', 'fabrikam/team/app');
    assert.equal(elsewhere.isAllowed, false);
    assert.match(elsewhere.considered.find(({ by }) => by.includes('AcrPull'))?.note ?? '', /which fabrikam is not in/);
  });

  test('a role that the permission mode ignores is told', async () => {
    const id = await sample.assign(ann, repositoryReader, sample.contoso);
    const { considered } = await ask('ann', 'metadata_write', 'contoso/a');
    const ignored = considered.find(({ by }) => by.includes('Repository Reader'));
    assert.match(ignored?.note ?? '', /mode LegacyRegistryPermissions, where this role gives nothing/);
    await sample.send('DELETE', id);
  });

  test('operations of the resource manager are explained by their scopes', async () => {
    const denied = await ask('ann', write, sample.contoso);
    assert.equal(denied.isAllowed, false);
    assert.match(denied.remedy ?? '', /Owner, Contributor, .*Container Registry Contributor/);
    assert.equal(denied.considered[0]?.note, 'the role does not have this action');
    const owner = await ask(sample.owner.objectId, write, sample.contoso);
    assert.deepEqual([owner.isAllowed, owner.by], [true, 'owner of the installation']);
  });

  test('strangers, admin accounts, addresses and the disabled', async () => {
    const stranger = await ask('anonymous', 'pull', 'contoso/a');
    assert.match(stranger.remedy ?? '', /Sign in, or turn on anonymous pull/);
    const admin = await ask('Contoso', 'delete', 'contoso/a');
    assert.equal(admin.by, 'account of the registry');
    const rules = { publicNetworkAccess: 'Enabled', networkRuleSet: { defaultAction: 'Deny', ipRules: [] } };
    await sample.send('PATCH', sample.contoso, { properties: rules });
    const outside = await ask('ann', 'pull', 'contoso/a', '203.0.113.1');
    assert.equal(outside.reason, 'the network rules of Contoso do not admit 203.0.113.1');
    assert.equal((await ask('ann', 'pull', 'contoso/a')).isAllowed, true);
    await database.transaction(async (tx) => {
      await tx.updateTable('principals').set({ is_enabled: 0 }).where('uid', '=', ann.uid).execute();
    });
    assert.equal((await ask('ann', 'pull', 'contoso/a')).reason, 'ann is disabled');
  });

  test('connecting needs no more than to sign in, and only owners administer', async () => {
    await sample.person('bob');
    assert.equal((await ask('bob', 'connect', 'fabrikam')).isAllowed, true);
    assert.match((await ask('anonymous', 'connect', 'fabrikam')).remedy ?? '', /Sign in/);
    assert.match((await ask('anonymous', 'administer', 'fabrikam')).remedy ?? '', /Only owners/);
  });

  test('a token is of no use without a password that is good', async () => {
    const token = `${sample.fabrikam}/tokens/robot`;
    const properties = { scopeMapId: `${sample.fabrikam}/scopeMaps/_repositories_pull` };
    assert.equal((await sample.send('PUT', token, { properties })).status, 201);
    const refused = async () => {
      const { isAllowed, reason, remedy } = await ask('robot', 'pull', 'fabrikam/a');
      assert.deepEqual([isAllowed, reason], [false, 'the token robot has no password that is good now']);
      assert.match(remedy ?? '', /az acr token credential generate/);
    };
    await refused();
    const tokenId = { tokenId: token, name: 'password1' };
    const made = await sample.send('POST', `${sample.fabrikam}/generateCredentials`, tokenId);
    assert(made.ok, await made.clone().text());
    await waitFor('the password', 120_000, async () => (await ask('robot', 'pull', 'fabrikam/a')).isAllowed);
    await database.transaction((tx) =>
      tx.updateTable('secrets').set({ expires_at: 1 }).where('name', '=', 'password').execute(),
    );
    await refused();
  });

  test('what cannot be asked is refused', async () => {
    const refused: readonly [string, string, string, string][] = [
      ['nobody', 'pull', 'contoso', 'directoryObjectUnknown'],
      ['ann', 'fly', 'contoso', 'requestInvalid'],
      ['ann', 'pull', 'woodgrove/a', 'registryUnknown'],
      ['ann', 'pull', 'contoso/UPPER', 'requestInvalid'],
      ['ann', write, 'contoso', 'requestInvalid'],
    ];
    for (const [principal, action, scope, error] of refused)
      await assert.rejects(ask(principal, action, scope), { error }, `${principal} ${action} ${scope}`);
  });
});
