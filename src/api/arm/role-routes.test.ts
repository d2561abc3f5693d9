import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { deleteRoleAssignment, writeRoleAssignment } from '../../features/access/role-assignment-store.ts';
import { raiseAccessEpoch } from '../../features/identity/access-epoch.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';

const roles = {
  owner: '8e3af657-a8ff-443c-a75c-2fe8c4bcb635',
  contributor: 'b24988ac-6180-42a0-ab88-20f7382dd24c',
  reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7',
  acrPull: '7f951dda-4ed3-4680-a7ca-43fe172d538d',
  userAccess: '18d7d88d-d35e-4fb5-a5c3-7773c20a72d9',
};
const assignments = 'providers/Microsoft.Authorization/roleAssignments';
const definitions = 'providers/Microsoft.Authorization/roleDefinitions';

const listSchema = z.object({
  value: z.array(z.looseObject({ id: z.string(), name: z.string(), properties: z.record(z.string(), z.json()) })),
});
const errorSchema = z.object({ error: z.looseObject({ code: z.string(), message: z.string() }) });

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleRoles;

  before(async () => {
    database = await open();
    sample = await sampleRoles(database);
    sample.runJobs();
  });
  after(() => sample.close());

  const refused = async (answer: Response, status: number, code: string, message = /./) => {
    const { error } = errorSchema.parse(await answer.json());
    assert.deepEqual({ status: answer.status, code: error.code }, { status, code }, error.message);
    assert.match(error.message, message);
  };
  const list = async (path: string, as?: string) => {
    const answer = await sample.send('GET', path, undefined, as);
    assert.equal(answer.status, 200, await answer.clone().text());
    return listSchema.parse(await answer.json()).value;
  };
  const listed = async (scope: string, filter = '', as?: string) =>
    (await list(`${scope}/${assignments}?$filter=${encodeURIComponent(filter)}`, as)).map(({ id }) => id);

  test('at the root there are the built-in roles, no assignments, and none can be made', async () => {
    assert((await list(`/${definitions}`)).length > 20);
    assert.deepEqual(await list(`/${assignments}`), []);
    const ann = await sample.person('root');
    const body = { properties: sample.properties(ann, roles.reader) };
    const path = `/${assignments}/${ids.guid()}`;
    await refused(await sample.send('PUT', path, body), 400, 'RoleAssignmentScopeInvalid', /subscription, which holds/);
    await refused(await sample.send('GET', path), 404, 'ResourceNotFound');
  });

  test('the operations that roles can give are listed, for custom roles to be made of', async () => {
    const nameSchema = z.object({ name: z.string(), isDataAction: z.boolean() });
    const read = async (path: string) => await (await sample.send('GET', path)).json();
    const identity = z.object({ value: z.array(nameSchema) });
    const { value } = identity.parse(await read('/providers/Microsoft.ManagedIdentity/operations'));
    assert(value.some(({ name }) => name === 'Microsoft.ManagedIdentity/userAssignedIdentities/write'));
    const provider = z.object({
      name: z.string(),
      resourceTypes: z.array(z.object({ name: z.string(), operations: z.array(nameSchema) })),
    });
    const metadata = '/providers/microsoft.authorization/providerOperations';
    const own = provider.parse(await read(`${metadata}/microsoft.containerregistry?$expand=resourceTypes`));
    const names = own.resourceTypes.flatMap(({ operations }) => operations.map(({ name }) => name));
    for (const name of ['registries/read', 'registries/listCredentials/action', 'registries/pull/read'])
      assert(names.includes(`${own.name}/${name}`), name);
    const content = own.resourceTypes.find(({ name }) => name === 'registries/repositories/content');
    assert.deepEqual(
      content?.operations.map(({ name, isDataAction }) => [name, isDataAction]),
      ['read', 'write', 'delete'].map((verb) => [`${own.name}/registries/repositories/content/${verb}`, true]),
    );
    const all = z.object({ value: z.array(provider) }).parse(await read(metadata));
    assert(all.value.some(({ name }) => name === 'Microsoft.Authorization'));
    await refused(await sample.send('GET', `${metadata}/Contoso.None`), 404, 'InvalidResourceType');
    assert.equal((await sample.send('POST', metadata, {})).status, 405);
  });

  test('an assignment is shown as Azure shows it, once, and only in the form it was made in', async () => {
    const ann = await sample.person('shown');
    const id = await sample.assign(ann, roles.acrPull, sample.contoso);
    const [shown] = await list(`${sample.contoso}/${assignments}?$filter=principalId%20eq%20'${ann.objectId}'`);
    assert.equal(shown?.id, id);
    const { createdOn, updatedOn, ...properties } = shown.properties;
    assert.equal(createdOn, updatedOn);
    assert.deepEqual(properties, {
      roleDefinitionId: `${sample.subscription}/${definitions}/${roles.acrPull}`,
      principalId: ann.objectId,
      principalType: 'ServicePrincipal',
      scope: sample.contoso,
      condition: null,
      conditionVersion: null,
      description: null,
      delegatedManagedIdentityResourceId: null,
      createdBy: sample.owner.objectId,
      updatedBy: sample.owner.objectId,
    });
    const same = { properties: sample.properties(ann, roles.acrPull) };
    assert.equal((await sample.send('PUT', id, same)).status, 200);
    const other = `${sample.contoso}/${assignments}/${ids.guid()}`;
    const name = id.slice(id.lastIndexOf('/') + 1).replaceAll('-', '');
    await refused(await sample.send('PUT', other, same), 409, 'RoleAssignmentExists', new RegExp(name));
    const changed = { properties: sample.properties(ann, roles.reader) };
    await refused(await sample.send('PUT', id, changed), 409, 'RoleAssignmentUpdateNotPermitted');
    const described = { properties: { ...same.properties, description: 'of a test' } };
    assert.equal((await sample.send('PUT', id, described)).status, 200);
    assert.equal((await sample.send('DELETE', id)).status, 200);
    assert.equal((await sample.send('DELETE', id)).status, 204);
    assert.equal((await sample.send('PUT', other, same)).status, 201);
  });

  const wrong: readonly [string, (known: object) => object, number, string, RegExp][] = [
    [
      'nobody',
      (known) => ({ ...known, principalId: ids.guid() }),
      400,
      'PrincipalNotFound',
      /does not exist in the directory/,
    ],
    [
      'another type',
      (known) => ({ ...known, principalType: 'User' }),
      400,
      'UnmatchedPrincipalType',
      /ServicePrincipal/,
    ],
    ['no GUID', (known) => ({ ...known, principalId: 'ann' }), 400, 'InvalidParameter', /principalId/],
    ['no role', (known) => ({ ...known, roleDefinitionId: undefined }), 400, 'InvalidParameter', /roleDefinitionId/],
    ['a role by name', (known) => ({ ...known, roleDefinitionId: 'AcrPull' }), 400, 'InvalidParameter', /ends in/],
    [
      'a role that is not there',
      (known) => ({ ...known, roleDefinitionId: `/${definitions}/${ids.guid()}` }),
      404,
      'RoleDefinitionDoesNotExist',
      /az role definition list/,
    ],
    [
      'a condition that cannot be read',
      (known) => ({ ...known, condition: 'x EQ y', conditionVersion: '2.0' }),
      400,
      'InvalidParameter',
      /condition.*attribute/,
    ],
    [
      'a condition of an old version',
      (known) => ({ ...known, condition: "ActionMatches{'a/b'}", conditionVersion: '1.0' }),
      400,
      'InvalidParameter',
      /2\.0/,
    ],
  ];
  for (const [label, change, status, code, message] of wrong) {
    test(`a role assignment with ${label} is refused`, async () => {
      const known = sample.properties(sample.owner, roles.acrPull);
      const body = { properties: change(known) };
      const answer = await sample.send('PUT', `${sample.contoso}/${assignments}/${ids.guid()}`, body);
      await refused(answer, status, code, message);
    });
  }

  test('names are GUIDs, scopes exist, and filters are those of Azure', async () => {
    const body = { properties: sample.properties(sample.owner, roles.acrPull) };
    await refused(await sample.send('PUT', `${sample.contoso}/${assignments}/x`, body), 400, 'InvalidResourceName');
    const nowhere = `${sample.contoso}x/${assignments}/${ids.guid()}`;
    await refused(await sample.send('PUT', nowhere, body), 404, 'ResourceNotFound');
    await refused(await sample.send('GET', `${sample.contoso}x/${assignments}`), 404, 'ResourceNotFound');
    for (const filter of ["principalId eq 'x'", 'atScope() or atScope()', "scope eq 'a'"])
      await refused(
        await sample.send('GET', `${sample.contoso}/${assignments}?$filter=${encodeURIComponent(filter)}`),
        400,
        'InvalidFilterInQueryString',
      );
  });

  test('lists show what is at the scope, above it and inside it, and follow groups', async () => {
    const bob = await sample.person('listed');
    const group = ids.uid();
    await database.transaction(async (tx) => {
      const common = { tenant_uid: sample.tenantUid, created_at: 0, changed_at: 0, properties: '{}' };
      await tx
        .insertInto('user_groups')
        .values({ ...common, uid: group, display_name: 'team' })
        .execute();
      await tx
        .insertInto('directory_links')
        .values({ tenant_uid: sample.tenantUid, source_uid: group, kind: 'member', target_uid: bob.uid })
        .execute();
    });
    const team = { ...bob, uid: group, objectId: objectIdOf(group) };
    const above = await sample.assign(bob, roles.reader, sample.subscription);
    const at = await sample.assign(team, roles.acrPull, sample.group);
    const inside = await sample.assign(bob, roles.acrPull, sample.contoso);
    const mine = (id: string) => [above, at, inside].includes(id);
    assert.deepEqual((await listed(sample.group)).filter(mine).sort(), [above, at, inside].sort());
    assert.deepEqual((await listed(sample.group, 'atScope()')).filter(mine).sort(), [above, at].sort());
    assert.deepEqual((await listed(sample.fabrikam)).filter(mine).sort(), [above, at].sort());
    const toBob = `principalId eq '${bob.objectId}'`;
    assert.deepEqual((await listed(sample.group, toBob)).sort(), [above, inside].sort());
    const toBobOrTeam = `atScope() and assignedTo('${bob.objectId}')`;
    assert.deepEqual((await listed(sample.group, toBobOrTeam)).sort(), [above, at].sort());
    assert.deepEqual((await listed(sample.group, `assignedTo('${bob.objectId}')`)).length, 3);
  });

  test('roles are found by name whatever its case, at every scope, and at the root', async () => {
    for (const scope of [sample.subscription, sample.group, sample.contoso, '']) {
      const found = await list(`${scope}/${definitions}?$filter=roleName%20eq%20'acrpull'`);
      assert.deepEqual(
        found.map(({ name }) => name),
        [roles.acrPull],
      );
      const one = await sample.send('GET', `${scope}/${definitions}/${roles.acrPull.toUpperCase()}`);
      assert.equal(z.looseObject({ id: z.string() }).parse(await one.json()).id, found[0]?.id);
    }
    const missing = await sample.send('GET', `${sample.subscription}/${definitions}/${ids.guid()}`);
    assert.equal(missing.status, 404);
    const builtIn = `${sample.subscription}/${definitions}/${roles.acrPull}`;
    await refused(await sample.send('DELETE', builtIn), 409, 'RoleDefinitionIsBuiltIn');
  });

  test('custom roles: checked, named once, listed where they can be given, and kept while they are', async () => {
    const key = ids.guid();
    const at = (scope: string, guid = key) => `${scope}/${definitions}/${guid}`;
    const body = (roleName: string, more: object = {}) => ({
      properties: {
        roleName,
        type: 'CustomRole',
        description: '',
        assignableScopes: [sample.contoso],
        permissions: [{ actions: ['Microsoft.ContainerRegistry/registries/read'], notActions: [] }],
        ...more,
      },
    });
    // Whatever scope it is made at, it is the subscription's.
    const made = await sample.send('PUT', at(sample.contoso), body('Looker'));
    assert.equal(made.status, 201, await made.clone().text());
    assert.equal(z.looseObject({ id: z.string() }).parse(await made.json()).id, at(sample.subscription));
    const custom = `?$filter=${encodeURIComponent("type eq 'CustomRole'")}`;
    const names = async (scope: string, filter = custom) =>
      (await list(`${scope}/${definitions}${filter}`)).map(({ name }) => name);
    assert.deepEqual(await names(sample.contoso), [key]);
    assert.deepEqual(await names(sample.fabrikam), []);
    assert.deepEqual(await names(sample.group), []);
    const below = `?$filter=${encodeURIComponent("type eq 'CustomRole' and atScopeAndBelow()")}`;
    assert.deepEqual(await names(sample.group, below), [key]);
    const again = await sample.send('PUT', at(sample.subscription, ids.guid()), body('LOOKER'));
    await refused(again, 409, 'RoleDefinitionWithSameNameExists');
    const taken = await sample.send('PUT', at(sample.subscription, ids.guid()), body('acrpull'));
    await refused(taken, 409, 'RoleDefinitionWithSameNameExists');
    for (const [more, place] of [
      [{ assignableScopes: [] }, /assignableScopes/],
      [{ assignableScopes: ['/subscriptions/another'] }, /another/],
      [{ assignableScopes: ['/'] }, /not in the subscription/],
      [{ permissions: [] }, /permissions/],
      [{ permissions: [{ actions: ['read everything'] }] }, /actions/],
      [{ roleName: '' }, /roleName/],
    ] as const)
      await refused(
        await sample.send('PUT', at(sample.subscription, ids.guid()), body('Other', more)),
        400,
        'InvalidParameter',
        place,
      );
    const cid = await sample.person('looker');
    const given = await sample.assign(cid, key, sample.contoso);
    assert.equal((await sample.send('GET', sample.contoso, undefined, cid.as)).status, 200);
    const outside = { properties: sample.properties(cid, key) };
    await refused(
      await sample.send('PUT', `${sample.fabrikam}/${assignments}/${ids.guid()}`, outside),
      400,
      'RoleAssignmentScopeNotAssignableToRoleDefinition',
      /Looker.*Contoso/,
    );
    await refused(await sample.send('DELETE', at(sample.subscription)), 409, 'RoleDefinitionHasAssignments');
    const narrowed = body('Looker', { permissions: [{ actions: ['Microsoft.Resources/tags/read'] }] });
    assert.equal((await sample.send('PUT', at(sample.subscription), narrowed)).status, 201);
    await refused(await sample.send('GET', sample.contoso, undefined, cid.as), 403, 'AuthorizationFailed');
    await sample.send('DELETE', given);
    assert.equal((await sample.send('DELETE', at(sample.subscription))).status, 200);
    assert.deepEqual(await names(sample.contoso), []);
  });

  test('a role that is deleted while somebody gives it, and one that is given while somebody deletes it', async () => {
    const looks = {
      roleName: 'Onlooker',
      type: 'CustomRole',
      assignableScopes: [sample.contoso],
      permissions: [{ actions: ['Microsoft.ContainerRegistry/registries/read'], notActions: [] }],
    };
    const key = ids.guid();
    const role = `${sample.subscription}/${definitions}/${key}`;
    assert.equal((await sample.send('PUT', role, { properties: looks })).status, 201);
    const gus = await sample.person('late');
    const row = { uid: ids.uid(), tenantUid: sample.tenantUid, scopeKey: sample.contoso.toLowerCase(), roleKey: key };
    /** The answer to a request that comes while the transaction of `work` is open. */
    const during = async (work: (tx: Transaction) => Promise<unknown>, request: () => Promise<Response>) =>
      await database.transaction(async (tx) => {
        await raiseAccessEpoch(tx, sample.tenantUid);
        await work(tx);
        const answer = request();
        await Promise.race([answer, sleep(300)]);
        return { answer };
      });
    const giving = { ...row, principalUid: gus.uid, condition: undefined };
    const deletion = await during(
      (tx) => writeRoleAssignment(tx, giving),
      () => sample.send('DELETE', role),
    );
    await refused(await deletion.answer, 409, 'RoleDefinitionHasAssignments');
    const gift = await during(
      async (tx) => {
        await deleteRoleAssignment(tx, row.uid);
        await tx.deleteFrom('custom_roles').where('role_key', '=', key).execute();
      },
      () =>
        sample.send('PUT', `${sample.contoso}/${assignments}/${ids.guid()}`, {
          properties: sample.properties(gus, key),
        }),
    );
    await refused(await gift.answer, 404, 'RoleDefinitionDoesNotExist');
  });

  test('an assignment goes with its registry, and with its principal', async () => {
    const dan = await sample.person('leaving');
    const registry = `${sample.group}/providers/Microsoft.ContainerRegistry/registries/leaving1`;
    const made = await sample.send('PUT', registry, { location: 'local', sku: { name: 'Basic' } });
    assert.equal(made.status, 201);
    await sample.assign(dan, roles.acrPull, registry);
    await sample.assign(dan, roles.acrPull, sample.fabrikam);
    const filter = `principalId eq '${dan.objectId}'`;
    await sample.send('DELETE', registry);
    await waitFor('the registry is gone', 120_000, async () => (await sample.send('GET', registry)).status === 404);
    assert.equal((await listed(sample.subscription, filter)).length, 1);
    await database.transaction(async (tx) => {
      await tx.deleteFrom('secrets').where('principal_uid', '=', dan.uid).execute();
      await tx.deleteFrom('principals').where('uid', '=', dan.uid).execute();
    });
    await database.transaction(async (tx) => {
      await tx.updateTable('jobs').set({ run_at: 0 }).where('kind', '=', 'access.orphans').execute();
    });
    await waitFor(
      'the assignment is gone',
      120_000,
      async () => (await listed(sample.subscription, filter)).length === 0,
    );
  });

  test('an assignment goes with the identity it is at, one of hundreds too', async () => {
    const id = `${sample.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/crowded`;
    assert.equal((await sample.send('PUT', id, { location: 'local' })).status, 201);
    const people = await Promise.all(Array.from({ length: 101 }, (_, nth) => sample.person(`crowd-${nth}`)));
    await Promise.all(people.map((who) => sample.assign(who, roles.reader, id)));
    assert.equal((await sample.send('DELETE', id)).status, 202);
    await waitFor('the identity is gone', 120_000, async () => (await sample.send('GET', id)).status === 404);
    const left = database.read.selectFrom('role_assignments').where('scope_key', '=', id.toLowerCase());
    assert.deepEqual(await left.select('uid').execute(), []);
  });

  test('who has nothing sees empty lists, and is refused with action and scope elsewhere', async () => {
    const eve = await sample.person('nobody');
    for (const path of ['/subscriptions', `${sample.subscription}/resources`, `${sample.subscription}/resourceGroups`])
      assert.deepEqual(await list(path, eve.as), [], path);
    const types = 'providers/Microsoft.ContainerRegistry/registries';
    for (const scope of [sample.subscription, sample.group, `${sample.group}x`])
      for (const path of [types, assignments, definitions])
        assert.deepEqual(await list(`${scope}/${path}`, eve.as), [], `${scope}/${path}`);
    const name = `The client 'nobody' with object id '${eve.objectId}'`;
    const asked = await sample.send('DELETE', `${sample.contoso}x`, undefined, eve.as);
    await refused(
      asked,
      403,
      'AuthorizationFailed',
      new RegExp(`^${name} .* 'Microsoft.ContainerRegistry/registries/delete' over scope '${sample.contoso}x'`),
    );
    const action = await sample.send('POST', `${sample.contoso}/listCredentials`, undefined, eve.as);
    await refused(action, 403, 'AuthorizationFailed', /registries\/listCredentials\/action/);
    await refused(await sample.send('GET', sample.subscription, undefined, eve.as), 403, 'AuthorizationFailed');
  });

  test('lists show what one may read, and a right on one registry is none on another', async () => {
    const fay = await sample.person('reader');
    const given = await sample.assign(fay, roles.reader, sample.contoso);
    const names = async (path: string) => (await list(path, fay.as)).map(({ name }) => name);
    const subscriptions = z
      .object({ value: z.array(z.unknown()) })
      .parse(await (await sample.send('GET', '/subscriptions', undefined, fay.as)).json());
    assert.equal(subscriptions.value.length, 1);
    const heads = z.object({ value: z.array(z.looseObject({ name: z.string() })) });
    const all = await sample.send('GET', `${sample.subscription}/resources`, undefined, fay.as);
    assert.deepEqual(
      heads.parse(await all.json()).value.map(({ name }) => name),
      ['Contoso'],
    );
    assert.deepEqual(await names(`${sample.subscription}/resourceGroups`), []);
    await refused(await sample.send('GET', sample.fabrikam, undefined, fay.as), 403, 'AuthorizationFailed');
    const change = { tags: { a: 'b' } };
    await refused(await sample.send('PATCH', sample.contoso, change, fay.as), 403, 'AuthorizationFailed', /write/);
    await sample.send('DELETE', given);
    await refused(await sample.send('GET', sample.contoso, undefined, fay.as), 403, 'AuthorizationFailed');
  });

  test('a role is changed by whoever may do so everywhere it can be given', async () => {
    const lea = await sample.person('maker');
    await sample.assign(lea, roles.userAccess, sample.contoso);
    const key = ids.guid();
    const body = (scopes: readonly string[], actions: readonly string[] = []) => ({
      properties: { roleName: 'Wide', permissions: [{ actions }], assignableScopes: scopes },
    });
    const at = `${sample.contoso}/${definitions}/${key}`;
    const put = (as: string, ...given: Parameters<typeof body>) => sample.send('PUT', at, body(...given), as);
    await refused(
      await put(lea.as, [sample.contoso, sample.group]),
      403,
      'AuthorizationFailed',
      /roleDefinitions\/write/,
    );
    assert.equal((await put(lea.as, [sample.contoso])).status, 201);
    assert.equal((await put(sample.owner.as, [sample.subscription])).status, 201);
    // She could make the role of others stronger, or take it for herself.
    await refused(
      await put(lea.as, [sample.subscription], ['*']),
      403,
      'AuthorizationFailed',
      /roleDefinitions\/write/,
    );
    await refused(await put(lea.as, [sample.contoso], ['*']), 403, 'AuthorizationFailed', /roleDefinitions\/write/);
    await refused(await sample.send('DELETE', at, undefined, lea.as), 403, 'AuthorizationFailed', /delete/);
    assert.equal((await sample.send('DELETE', at)).status, 200);
  });

  test('a managed identity is put on a registry by whoever may assign it', async () => {
    const kim = await sample.person('assigner');
    await sample.assign(kim, roles.contributor, sample.fabrikam);
    const id = `${sample.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/robot`;
    assert.equal((await sample.send('PUT', id, { location: 'local' })).status, 201);
    const identity = { type: 'UserAssigned', userAssignedIdentities: { [id]: {} } };
    const put = () => sample.send('PATCH', sample.fabrikam, { identity }, kim.as);
    await refused(await put(), 403, 'AuthorizationFailed', /userAssignedIdentities\/assign\/action.*robot/);
    await sample.assign(kim, 'f1a07417-d97a-45cb-824c-7a7467783830', id);
    assert.equal((await put()).status, 200);
    assert.equal((await sample.send('PATCH', sample.fabrikam, { tags: { a: 'b' } }, kim.as)).status, 200);
  });

  test('a managed identity is put on a task by whoever may assign it, and again when it was made anew', async () => {
    const tim = await sample.person('task-assigner');
    await sample.assign(tim, roles.contributor, sample.fabrikam);
    const id = `${sample.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder`;
    const make = async () => assert.equal((await sample.send('PUT', id, { location: 'local' })).status, 201);
    await make();
    const identity = { type: 'UserAssigned', userAssignedIdentities: { [id]: {} } };
    const step = { type: 'EncodedTask', encodedTaskContent: 'c3RlcHM6IFtdCg==' };
    const body = { location: 'local', identity, properties: { platform: { os: 'linux' }, step } };
    const task = `${sample.fabrikam}/tasks/with-identity`;
    const put = () => sample.send('PUT', task, body, tim.as);
    await refused(await put(), 403, 'AuthorizationFailed', /userAssignedIdentities\/assign\/action.*builder/);
    const operator = 'f1a07417-d97a-45cb-824c-7a7467783830';
    await sample.assign(tim, operator, id);
    assert.equal((await put()).status, 200);
    // Another identity of the same name: nobody gave him that one.
    await sample.send('DELETE', id);
    await waitFor('the identity is gone', 120_000, async () => (await sample.send('GET', id)).status === 404);
    await make();
    await refused(await put(), 403, 'AuthorizationFailed', /userAssignedIdentities\/assign\/action.*builder/);
  });

  test('a deployment does what its author may: a contributor makes a registry, and gives no role on it', async () => {
    const ida = await sample.person('deployer');
    await sample.assign(ida, roles.contributor, sample.group);
    const type = 'Microsoft.ContainerRegistry/registries';
    const registry = { type, apiVersion: '2023-07-01', name: 'deployed1', location: 'local', sku: { name: 'Basic' } };
    const assignment = {
      type: 'Microsoft.Authorization/roleAssignments',
      apiVersion: '2022-04-01',
      scope: `${type}/deployed1`,
      name: "[guid('deployed1')]",
      properties: sample.properties(ida, roles.acrPull),
      dependsOn: [`[resourceId('${type}', 'deployed1')]`],
    };
    const deploy = async (name: string, resources: readonly object[], as: string) => {
      const path = `${sample.group}/providers/Microsoft.Resources/deployments/${name}`;
      const template = {
        $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
        contentVersion: '1.0.0.0',
        resources,
      };
      const begun = await sample.send('PUT', path, { properties: { mode: 'Incremental', template } }, as);
      if (begun.status !== 201) return await begun.text();
      const state = z.object({ properties: z.looseObject({ provisioningState: z.string() }) });
      let shown = '';
      await waitFor('the deployment ends', 120_000, async () => {
        shown = await (await sample.send('GET', path)).text();
        return ['Succeeded', 'Failed'].includes(state.parse(JSON.parse(shown)).properties.provisioningState);
      });
      return shown;
    };
    assert.match(await deploy('one', [registry], ida.as), /"provisioningState":"Succeeded"/);
    assert.match(await deploy('two', [registry, assignment], ida.as), /AuthorizationFailed.*roleAssignments\/write/);
    await sample.assign(ida, roles.userAccess, sample.group);
    assert.match(await deploy('three', [registry, assignment], ida.as), /"provisioningState":"Succeeded"/);
    const jon = await sample.person('watcher');
    await sample.assign(jon, roles.reader, sample.group);
    assert.match(await deploy('four', [registry], jon.as), /AuthorizationFailed.*deployments\/write/);
  });

  test('giving roles needs the right to, and a condition narrows which ones', async () => {
    const [gil, hal] = [await sample.person('giver'), await sample.person('taker')];
    const give = async (role: string) =>
      await sample.send(
        'PUT',
        `${sample.fabrikam}/${assignments}/${ids.guid()}`,
        { properties: sample.properties(hal, role) },
        gil.as,
      );
    await sample.assign(gil, roles.contributor, sample.fabrikam);
    await refused(await give(roles.acrPull), 403, 'AuthorizationFailed', /roleAssignments\/write/);
    const attribute = '[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals';
    const only = (verb: string, source: string) =>
      `(!(ActionMatches{'Microsoft.Authorization/roleAssignments/${verb}'}) OR (@${source}${attribute} {${roles.acrPull}}))`;
    const condition = `${only('write', 'Request')} AND ${only('delete', 'Resource')}`;
    await sample.assign(gil, roles.userAccess, sample.fabrikam, { condition, conditionVersion: '2.0' });
    await refused(await give(roles.owner), 403, 'AuthorizationFailed', /roleAssignments\/write/);
    assert.equal((await give(roles.acrPull)).status, 201);
    const [pull = ''] = await listed(sample.fabrikam, `principalId eq '${hal.objectId}'`);
    const read = await sample.assign(hal, roles.reader, sample.fabrikam);
    await refused(await sample.send('DELETE', read, undefined, gil.as), 403, 'AuthorizationFailed', /delete/);
    assert.equal((await sample.send('DELETE', pull, undefined, gil.as)).status, 200);
  });
});
