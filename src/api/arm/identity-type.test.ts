import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleTenant, sampleTenant } from '../../../test/support/sample-tenant.ts';
import { listCredentials } from '../../features/identity/credentials.ts';
import { groupsOf } from '../../features/identity/directory-links.ts';
import { listManagedIdentities } from '../../features/identity/managed-identities.ts';
import { uidOfObjectId } from '../../features/identity/object-id.ts';
import { Removals } from '../../features/resources/removal.ts';
import type { Author, ResourceName } from '../../features/resources/resource.ts';
import { childName, groupResourceName, memberName } from '../../features/resources/resource-names.ts';
import { resourceTypes } from '../../features/resources/resource-type.ts';
import { Resources } from '../../features/resources/resources.ts';
import { firstSubscription } from '../../features/resources/subscription-store.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createLog } from '../../platform/log.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { federatedCredentialType } from './federated-credential-type.ts';
import { resourceGroupType } from './group-type.ts';
import { userAssignedIdentityType } from './identity-type.ts';

const author: Author = { uid: 'owner', name: 'Olivia', kind: 'User' };
const clock = new HeldClock();
const types = {
  group: resourceGroupType,
  identity: userAssignedIdentityType({ ids, tenantId: ids.guid() }),
  federated: federatedCredentialType({ ids, clock }),
};
const trust = {
  issuer: 'https://issuer.example',
  subject: 'repo:a/b:ref:refs/heads/main',
  audiences: ['api://exchange'],
};
const shown = z.looseObject({ principalId: z.guid(), clientId: z.guid(), tenantId: z.guid() });

forEachDatabase((_, open) => {
  let database: Database;
  let tenant: SampleTenant;
  let resources: Resources;
  let removals: Removals;
  const subscriptionId = ids.guid();
  const group = groupResourceName(subscriptionId, 'demo');
  const named = (name: string) => memberName(group, types.identity.type, name);
  const builder = named('builder');
  const credential = (name: string, of = builder) => childName(of, types.federated.type, name);

  before(async () => {
    database = await open();
    tenant = await sampleTenant(database, clock);
    const { tenantUid, journal } = tenant;
    const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
    const parts = { database, journal, clock, ids, tenantUid, log, jobs: { add: async () => {} } };
    resources = new Resources(parts);
    removals = new Removals({ ...parts, types: resourceTypes(Object.values(types)) });
    await journal.transaction((tx) => firstSubscription(tx, tenantUid, { subscriptionId, nowMicros: 0 }));
    await write('group', group);
  });

  const write = async (type: keyof typeof types, name: ResourceName, properties: JsonObject = {}, tags = {}) => {
    const desired = { location: 'eastus', tags, sku: undefined, identity: undefined, properties };
    const { resource } = await resources.write({ type: types[type], name, author, desire: () => desired });
    return resource;
  };
  const identity = async (name: ResourceName, tags = {}) =>
    shown.parse(types.identity.properties(await write('identity', name, {}, tags), '2023-01-31'));
  const remove = async ({ id }: ResourceName) => assert.equal((await removals.begin({ id, author })).kind, 'done');
  const uidOf = ({ principalId }: z.infer<typeof shown>) => uidOfObjectId(principalId) ?? assert.fail();
  const federatedOf = async (uid: string) => {
    const credentials = (await listCredentials(database.read, [uid])).get(uid) ?? [];
    return credentials.flatMap((each) => (each.kind === 'federated' ? [each] : []));
  };
  const epoch = async () => {
    const query = database.read.selectFrom('tenants').select('access_epoch').where('uid', '=', tenant.tenantUid);
    return (await query.executeTakeFirstOrThrow()).access_epoch;
  };

  test('an identity is a principal from its beginning, and keeps its ids', async () => {
    const made = await identity(builder);
    assert.deepEqual(await identity(builder, { team: 'a' }), made);
    const [found] = await listManagedIdentities(database.read, tenant.tenantUid);
    const { clientId } = made;
    assert.deepEqual(found, {
      ...{ uid: uidOf(made), clientId, name: 'builder', resourceId: builder.id, kind: 'userAssigned' },
    });
    const principal = await tenant.tenantDirectory.servicePrincipals.findByAppId(clientId.toUpperCase());
    assert.deepEqual([principal?.kind, principal?.isEnabled, principal?.isOwner], ['managedIdentity', true, false]);
  });

  test('one that is deleted leaves its groups and credentials with a new epoch, and one of its name is another', async () => {
    const name = named('leaver');
    const made = await identity(name);
    const makers = await tenant.tenantDirectory.groups.create({
      displayName: 'makers',
      properties: {},
      actor: 'owner',
    });
    await tenant.tenantDirectory.link({ sourceUid: makers, kind: 'member', targetUid: uidOf(made) }, 'owner');
    await write('federated', credential('main', name), trust);
    const before = await epoch();
    await remove(name);
    assert.ok((await epoch()) > before);
    assert.deepEqual(await groupsOf(database.read, uidOf(made)), []);
    assert.deepEqual(await federatedOf(uidOf(made)), []);
    assert.equal(await tenant.tenantDirectory.servicePrincipals.find(uidOf(made)), undefined);
    assert.notEqual((await identity(name)).clientId, made.clientId);
  });

  test('the directory shows an identity, and changes it nowhere', async () => {
    const uid = uidOf(await identity(builder));
    const { servicePrincipals } = tenant.tenantDirectory;
    await assert.rejects(servicePrincipals.remove(uid, 'owner'), { error: 'directoryObjectFixed' });
    const disable = { isEnabled: false, properties: undefined, actor: 'owner' };
    await assert.rejects(servicePrincipals.update(uid, disable), { error: 'directoryObjectFixed' });
  });

  test('a federated credential is kept as long as its trust is the same', async () => {
    const uid = uidOf(await identity(builder));
    const name = credential('main');
    const made = await write('federated', name, trust);
    assert.deepEqual(types.federated.properties(made, ''), trust);
    const [first] = await federatedOf(uid);
    assert.partialDeepStrictEqual(first, { displayName: 'main', ...trust });
    await write('federated', name, trust);
    assert.deepEqual(await federatedOf(uid), [first]);
    await write('federated', name, { ...trust, audiences: ['other'] });
    const [second, ...others] = await federatedOf(uid);
    assert.deepEqual([others, second?.audiences], [[], ['other']]);
    assert.notEqual(second?.uid, first?.uid);
    await remove(name);
    assert.deepEqual(await federatedOf(uid), []);
  });

  test('of two requests for the same trust at once one is made', async () => {
    const uid = uidOf(await identity(builder));
    const names = ['one', 'two'].map((name) => credential(name));
    const results = await Promise.allSettled(names.map((name) => write('federated', name, trust)));
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    assert.equal((await federatedOf(uid)).length, 1);
  });

  test('an identity has at most twenty federated credentials', async () => {
    const name = named('crowded');
    await identity(name);
    for (let count = 0; count < 20; count += 1)
      await write('federated', credential(`credential-${count}`, name), { ...trust, subject: `subject ${count}` });
    await assert.rejects(write('federated', credential('more', name), trust), { error: 'quotaExceeded' });
  });

  for (const [reason, properties] of [
    ['without an issuer', { ...trust, issuer: '' }],
    ['with an issuer that is not encrypted', { ...trust, issuer: 'http://issuer.example' }],
    ['without a subject', { ...trust, subject: '' }],
    ['without an audience', { ...trust, audiences: [] }],
    ['with too many audiences', { ...trust, audiences: Array.from({ length: 11 }, (_, count) => `audience ${count}`) }],
  ] as const) {
    test(`a federated credential ${reason} is refused`, async () => {
      await assert.rejects(write('federated', credential('wrong'), properties), { error: 'resourceInvalid' });
    });
  }

  test('names are checked', async () => {
    for (const name of ['ab', '-abc', 'a b c', 'é-identity', 'x'.repeat(129)])
      await assert.rejects(write('identity', named(name)), { error: 'resourceNameInvalid' });
    await assert.rejects(write('federated', credential('a!b'), trust), { error: 'resourceNameInvalid' });
    await assert.rejects(write('federated', credential('main', named('nobody')), trust), { error: 'resourceUnknown' });
  });
});
