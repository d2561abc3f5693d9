import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleCircumstances } from '../../../test/support/sample-access.ts';
import { type SamplePerson, type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Database } from '../../platform/database/database.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { objectIdOf } from '../identity/object-id.ts';
import type { PermissionMode } from '../registries/registry.ts';
import { type Action, isVisible, type Visible } from './decision.ts';
import { createRightsSource } from './rights-source.ts';

const acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d';
const acrPush = '8311e382-0749-4cb8-b61a-304f252e45ec';
const repositoryWriter = '2a1e307c-b015-4ebd-883e-5b7698a07328';
const catalogLister = 'bfdb9389-c9a5-478a-bb2f-ba9ca092c3c7';
const name = '@Request[Microsoft.ContainerRegistry/registries/repositories:name]';
const pullRead = 'Microsoft.ContainerRegistry/registries/repositories/content/read';

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleRoles;

  before(async () => {
    database = await open();
    sample = await sampleRoles(database);
  });
  after(() => sample.close());

  const authorityOf = (header: string, action: Action, repository = 'team/app', uid = sample.registryUid) =>
    sample.here.authorize({
      registry: sample.here.directory.byUid(uid) ?? assert.fail(),
      authorization: header,
      action,
      ...(action === 'connect' || action === 'catalogList' ? {} : { repository: parseRepositoryName(repository) }),
      circumstances: sampleCircumstances,
    });
  /** What the process answers, which has seen the newest epoch with the row it read. */
  const ask = async (...asked: Parameters<typeof authorityOf>): Promise<string> => {
    await sample.here.directory.refresh();
    try {
      await authorityOf(...asked);
      return 'allowed';
    } catch (error) {
      if (error instanceof BerthError) return error.error;
      throw error;
    }
  };
  const visibleTo = async ({ header }: SamplePerson): Promise<Visible> => {
    await sample.here.directory.refresh();
    return (await authorityOf(header, 'catalogList')).visible();
  };
  const tokenOf = async ({ header }: SamplePerson) => {
    const { accessToken } = await sample.here.issueTokens({
      registry: sample.here.directory.byUid(sample.registryUid) ?? assert.fail(),
      credentials: { kind: 'header', authorization: header },
      asked: [{ type: 'repository', name: 'team/app', actions: ['pull'] }],
      wantsRefreshToken: false,
      circumstances: sampleCircumstances,
    });
    return `Bearer ${accessToken}`;
  };
  const switchTo = async (roleAssignmentMode: PermissionMode) => {
    const answer = await sample.send('PATCH', sample.contoso, { properties: { roleAssignmentMode } });
    assert.equal(answer.status, 200);
    await sample.here.directory.refresh();
  };

  test('a role holds at its scope and inside, and a right on one registry is none on another', async () => {
    const scopes: readonly [string, string, string][] = [
      [sample.contoso, 'allowed', 'denied'],
      [sample.fabrikam, 'denied', 'allowed'],
      [sample.group, 'allowed', 'allowed'],
      [sample.subscription, 'allowed', 'allowed'],
      [sample.subscription.toUpperCase().replace('/SUBSCRIPTIONS', '/subscriptions'), 'allowed', 'allowed'],
    ];
    for (const [index, [scope, here, there]] of scopes.entries()) {
      const person = await sample.person(`scoped${index}`);
      await sample.assign(person, acrPull, scope);
      assert.equal(await ask(person.header, 'pull'), here, scope);
      assert.equal(await ask(person.header, 'pull', 'team/app', sample.otherUid), there, scope);
      assert.equal(await ask(person.header, 'push'), 'denied', scope);
    }
  });

  test('a role taken away ends with the next request, for secrets and for tokens that were given before', async () => {
    const person = await sample.person('revoked');
    const id = await sample.assign(person, acrPull, sample.contoso);
    assert.equal(await ask(person.header, 'pull'), 'allowed');
    const bearer = await tokenOf(person);
    const authority = await authorityOf(bearer, 'pull');
    await sample.send('DELETE', id);
    assert.equal(await ask(person.header, 'pull'), 'denied');
    assert.equal(await ask(bearer, 'pull'), 'denied');
    await assert.rejects(authority.confirm(sample.here.directory.epoch()), { error: 'denied' });
    await sample.assign(person, acrPull, sample.contoso);
    assert.equal(await ask(bearer, 'pull'), 'allowed');
  });

  test('a role that was just given counts at the next request, without waiting for anything', async () => {
    const person = await sample.person('given');
    await sample.here.directory.refresh();
    await assert.rejects(authorityOf(person.header, 'pull'), { error: 'denied' });
    await sample.assign(person, acrPull, sample.contoso);
    await authorityOf(person.header, 'pull');
  });

  test('groups in groups carry roles, and whoever leaves one loses them', async () => {
    const person = await sample.person('member');
    const [inner, outer] = [ids.uid(), ids.uid()];
    const link = (source_uid: string, target_uid: string) =>
      database.transaction(async (tx) => {
        const values = { tenant_uid: sample.tenantUid, source_uid, kind: 'member', target_uid } as const;
        await tx.insertInto('directory_links').values(values).execute();
        await tx
          .updateTable('tenants')
          .set((eb) => ({ access_epoch: eb('access_epoch', '+', 1) }))
          .execute();
      });
    await database.transaction(async (tx) => {
      const common = {
        tenant_uid: sample.tenantUid,
        display_name: 'g',
        created_at: 0,
        changed_at: 0,
        properties: '{}',
      };
      await tx
        .insertInto('user_groups')
        .values([
          { ...common, uid: inner },
          { ...common, uid: outer },
        ])
        .execute();
    });
    await link(inner, person.uid);
    await link(outer, inner);
    // A group in itself, by another, ends.
    await link(inner, outer);
    await sample.assign({ ...person, uid: outer, objectId: objectIdOf(outer) }, acrPush, sample.contoso);
    assert.equal(await ask(person.header, 'push'), 'allowed');
    await database.transaction(async (tx) => {
      await tx.deleteFrom('directory_links').where('target_uid', '=', person.uid).execute();
      await tx
        .updateTable('tenants')
        .set((eb) => ({ access_epoch: eb('access_epoch', '+', 1) }))
        .execute();
    });
    assert.equal(await ask(person.header, 'push'), 'denied');
  });

  test('rights cost one query at an epoch, however often they are asked for, and none for owners', async () => {
    const person = await sample.person('often');
    await sample.assign(person, acrPull, sample.contoso);
    await sample.here.directory.refresh();
    let queries = 0;
    const read = database.read.withPlugin({
      transformQuery: ({ node }) => {
        queries += 1;
        return node;
      },
      transformResult: async ({ result }) => result,
    });
    const source = createRightsSource({ database: { ...database, read } });
    const registry = sample.here.directory.byUid(sample.registryUid) ?? assert.fail();
    const { principal } = await authorityOf(person.header, 'pull');
    const epoch = sample.here.directory.epoch();
    await Promise.all(Array.from({ length: 20 }, () => source.of(principal, registry, epoch)));
    for (let time = 0; time < 20; time += 1) await source.of(principal, registry, epoch);
    assert.equal(queries, 1);
    await source.of({ ...principal, isOwner: true }, registry, epoch);
    assert.equal(queries, 1);
    await source.of(principal, registry, (await source.of(principal, registry, epoch)).epoch + 1);
    assert.equal(queries, 2);
  });

  test('another permission mode ends tokens that were given before, and other roles count', async () => {
    const person = await sample.person('switched');
    await sample.assign(person, acrPull, sample.contoso);
    await sample.assign(person, repositoryWriter, sample.contoso);
    const before = await tokenOf(person);
    assert.equal(await ask(person.header, 'push'), 'denied');
    await switchTo('AbacRepositoryPermissions');
    assert.equal(await ask(before, 'pull'), 'credentialsWrong');
    assert.equal(await ask(person.header, 'push'), 'allowed');
    assert.equal(await ask(person.header, 'catalogList'), 'denied');
    assert.equal(await ask(await tokenOf(person), 'pull'), 'allowed');
    const between = await tokenOf(person);
    await switchTo('LegacyRegistryPermissions');
    for (const bearer of [before, between]) assert.equal(await ask(bearer, 'pull'), 'credentialsWrong');
    assert.equal(await ask(person.header, 'catalogList'), 'allowed');
  });

  test('a condition narrows a role to repositories, in decisions and in lists', async () => {
    await switchTo('AbacRepositoryPermissions');
    const only = `${name} StringStartsWithIgnoreCase 'Backend/' OR ${name} StringEquals 'shared'`;
    const person = await sample.person('conditional');
    const condition = (text: string) => ({ condition: text, conditionVersion: '2.0' });
    await sample.assign(person, repositoryWriter, sample.contoso, condition(only));
    const outcomes: readonly [Action, string, string][] = [
      ['pull', 'backend/api', 'allowed'],
      ['push', 'shared', 'allowed'],
      ['push', 'shared/more', 'denied'],
      ['pull', 'backends', 'denied'],
      ['delete', 'backend/api', 'denied'],
    ];
    for (const [action, repository, outcome] of outcomes)
      assert.equal(await ask(person.header, action, repository), outcome, `${action} ${repository}`);
    // Only reading is narrowed: other operations pass a condition that does not speak of them.
    const reader = await sample.person('readers');
    const read = `!(ActionMatches{'${pullRead}'}) OR (${name} StringNotLike '*secret*')`;
    await sample.assign(reader, repositoryWriter, sample.contoso, condition(read));
    assert.equal(await ask(reader.header, 'push', 'a/secret'), 'allowed');
    assert.equal(await ask(reader.header, 'pull', 'a/secret'), 'denied');
    assert.equal(await ask(reader.header, 'pull', 'a/public'), 'allowed');
    assert.equal(await ask(reader.header, 'catalogList'), 'denied');
    const connected = await authorityOf(reader.header, 'connect');
    const pulls = connected.visible('pull');
    assert.deepEqual([isVisible(pulls, 'a/public'), isVisible(pulls, 'a/secret')], [true, false]);
    assert.deepEqual(connected.visible('push'), { kind: 'all' });
    const tokenPulls = (await authorityOf(await tokenOf(reader), 'connect')).visible('pull');
    assert.deepEqual(
      ['team/app', 'a/public', 'a/secret'].map((each) => isVisible(tokenPulls, each)),
      [true, false, false],
    );
    await sample.assign(reader, catalogLister, sample.contoso);
    assert.deepEqual(await visibleTo(reader), { kind: 'all' });
    await switchTo('LegacyRegistryPermissions');
  });
});
