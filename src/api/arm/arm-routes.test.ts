import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Hono } from 'hono';
import { sql } from 'kysely';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { BerthError } from '../../core/errors.ts';
import { gateKey } from '../../features/content/repository-gate.ts';
import type { Principal } from '../../features/identity/principal.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { createFolderStore } from '../../platform/blob-store/folder-store.ts';
import type { Database } from '../../platform/database/database.ts';
import { createFailpoints } from '../../platform/failpoints.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJobs } from '../../platform/jobs/create-jobs.ts';
import { tenantStreamOf } from '../../platform/journal/journal.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { Env } from '../middleware/env.ts';
import { createArm } from './create-arm.ts';
import { renderArmError } from './render-arm-error.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const tenantId = ids.guid();
const version = 'api-version=2022-02-01-preview';
const owner: Principal = { kind: 'user', uid: 'olivia', name: 'Olivia', isOwner: true, registryUid: undefined };
const visitor: Principal = { ...owner, uid: 'victor', name: 'Victor', isOwner: false };

const resourceSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  location: z.string().exactOptional(),
  tags: z.record(z.string(), z.string()).exactOptional(),
  sku: z.looseObject({ name: z.string() }).exactOptional(),
  properties: z.record(z.string(), z.any()),
});
const listSchema = z.object({
  value: z.array(z.looseObject({ name: z.string() })),
  nextLink: z.string().exactOptional(),
});
const errorSchema = z.object({ error: z.looseObject({ code: z.string(), message: z.string() }) });

/** One process of a control plane; `Bearer Olivia` is its owner, `Bearer Victor` somebody else. */
async function process(database: Database, tenantUid: string, folder: string) {
  const here = await sampleProcess(database, tenantUid, new HeldClock());
  const store = createFolderStore({ folder, ids, failpoint: createFailpoints(undefined, systemClock) });
  const jobs = createJobs({ database, clock: systemClock, ids, log, pollMs: 10 });
  const accessLog = createAccessLog({ database, clock: systemClock, ids, log });
  const arm = createArm({
    ...here.account,
    clock: systemClock,
    database,
    journal: here.journal,
    store,
    jobs,
    accessLog,
    log,
    tenantUid,
    tenantId,
    domain: 'berth.test',
    loginServerOf: (label) => `${label}.berth.test`,
    defaultRegistryName: 'contoso',
    locationNames: ['local', 'public'],
    transfer: { minBytesPerSecond: 1, windowMs: 30_000 },
    tenantCaller: async (authorization) => {
      const caller = [owner, visitor].find(({ name }) => authorization === `Bearer ${name}`);
      if (caller === undefined) throw new BerthError('unauthorized');
      return caller;
    },
  });
  const app = new Hono<Env>();
  const registry = here.directory.defaultRegistry();
  assert(registry !== undefined);
  app.use(async (c, next) => {
    const call = { correlationId: 'test', address: '192.0.2.1', origin: 'https://arm.test', userAgent: undefined };
    c.set('call', { ...call, registry });
    await next();
  });
  app.onError((error, c) => {
    if (error instanceof BerthError) return renderArmError(c, error);
    throw error;
  });
  app.route('/', arm.routes);
  return {
    ...here,
    runJobs: () => jobs.start(arm.jobKinds),
    stop: async () => {
      await jobs.stop();
      await here.close();
      await accessLog.close();
    },
    send: async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      await app.request(`https://arm.test${path}${path.includes('?') ? '&' : '?'}${version}`, {
        method,
        headers: { authorization: 'Bearer Olivia', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    fetch: async (url: string) => await app.request(url, { headers: { authorization: 'Bearer Olivia' } }),
  };
}

forEachDatabase((_, open) => {
  const folder = temporaryFolder('arm');
  let database: Database;
  let sample: Awaited<ReturnType<typeof sampleAccess>>;
  let here: Awaited<ReturnType<typeof process>>;
  let subscription = '';
  let group = '';

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await process(database, sample.tenantUid, folder.path);
    const { value } = z
      .object({ value: z.array(z.looseObject({ id: z.string() })) })
      .parse(await (await here.send('GET', '/subscriptions')).json());
    subscription = value[0]?.id ?? '';
    group = `${subscription}/resourceGroups/Demo`;
    await made('PUT', group, { location: 'East US' });
    here.runJobs();
  });
  after(async () => {
    await here.stop();
    folder.remove();
  });

  const registry = (name: string, in_ = group) => `${in_}/providers/Microsoft.ContainerRegistry/registries/${name}`;
  const made = async (method: string, path: string, body: unknown, headers: Record<string, string> = {}) => {
    const answer = await here.send(method, path, body, headers);
    assert(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return resourceSchema.parse(await answer.json());
  };
  const create = (name: string, more: object = {}) =>
    made('PUT', registry(name), { location: 'eastus', sku: { name: 'Premium' }, ...more });
  const refused = async (answer: Response, status: number, code: string, message?: RegExp) => {
    const text = await answer.text();
    assert.equal(answer.status, status, text);
    const { error } = errorSchema.parse(JSON.parse(text));
    assert.equal(error.code, code);
    if (message !== undefined) assert.match(error.message, message);
  };
  const names = async (path: string) =>
    listSchema.parse(await (await here.send('GET', path)).json()).value.map(({ name }) => name);
  const ended = async (answer: Response) => {
    assert.equal(answer.status, 202, await answer.clone().text());
    const status = answer.headers.get('azure-asyncoperation') ?? '';
    await waitFor('the operation ends', 120_000, async () => {
      const { status: state } = z.looseObject({ status: z.string() }).parse(await (await here.fetch(status)).json());
      return state === 'Succeeded';
    });
    assert.equal((await here.fetch(answer.headers.get('location') ?? '')).status, 204);
  };

  test('nobody gets in without a token, or further without a role, whatever the address', async () => {
    for (const path of ['/subscriptions', '/tenants', registry('contoso'), '/subscriptions/nothing/here']) {
      await refused(await here.send('GET', path, undefined, { authorization: '' }), 401, 'InvalidAuthenticationToken');
      await refused(
        await here.send('GET', path, undefined, { authorization: 'Bearer forged' }),
        401,
        'InvalidAuthenticationToken',
      );
    }
    for (const path of [registry('contoso'), '/subscriptions/nothing/here']) {
      const asVictor = await here.send('DELETE', path, undefined, { authorization: 'Bearer Victor' });
      await refused(asVictor, 403, 'AuthorizationFailed', /'Victor'.* over scope '\/subscriptions\//);
    }
  });

  test('whoever has signed in sees the tenant, and no subscription without a right on it', async () => {
    const asVictor = async (path: string) => {
      const answer = await here.send('GET', path, undefined, { authorization: 'Bearer Victor' });
      return {
        status: answer.status,
        count: z.object({ value: z.array(z.unknown()) }).parse(await answer.json()).value.length,
      };
    };
    assert.deepEqual(await asVictor('/tenants'), { status: 200, count: 1 });
    assert.deepEqual(await asVictor('/subscriptions'), { status: 200, count: 0 });
  });

  test('registries of the first start and of the admin API are resources, and follow each other', async () => {
    assert.deepEqual(await names(`${subscription}/providers/Microsoft.ContainerRegistry/registries`), [
      'Contoso',
      'fabrikam',
    ]);
    const id = registry('contoso', `${subscription}/resourceGroups/berth`);
    assert.equal((await made('GET', id, undefined)).properties.adminUserEnabled, true);
    await made('PATCH', id, { properties: { adminUserEnabled: false } });
    await here.directory.refresh();
    assert.equal(here.directory.byName('contoso')?.isAdminEnabled, false);
    await here.registries.setAdminEnabled({ registryUid: sample.registryUid, isOn: true, actor: 'test' });
    assert.equal((await made('GET', id, undefined)).properties.adminUserEnabled, true);
  });

  test('addresses are read whatever their case, and ids are shown in one form', async () => {
    await create('casing1');
    const shown = await made('GET', registry('CASING1').toLowerCase(), undefined);
    assert.equal(shown.id, registry('casing1'));
    assert.equal(shown.location, 'eastus');
    const again = await here.send(
      'PUT',
      registry('Casing1').toUpperCase().replace('/SUBSCRIPTIONS', '/Subscriptions'),
      {
        location: 'East US',
        sku: { name: 'premium' },
      },
    );
    assert.equal(again.status, 200);
    assert.equal(resourceSchema.parse(await again.json()).id, registry('casing1'));
  });

  test('a change of a registry is answered when what read its policies of before has ended, there and not elsewhere', async () => {
    // SQLite has one writer at a time.
    if (database.kind === 'sqlite') return;
    await create('gated');
    await create('ungated');
    const { uid } = await database.read
      .selectFrom('registries')
      .select('uid')
      .where('name_key', '=', 'gated')
      .executeTakeFirstOrThrow();
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const push = database.transaction(async (tx) => {
      const key = gateKey(sql`cast(${uid} as text)`, sql`''`);
      await sql`select pg_advisory_xact_lock_shared(${key})`.execute(tx);
      begun.resolve();
      await goOn.promise;
    });
    await begun.promise;
    await made('PATCH', registry('ungated'), { tags: { a: '1' } });
    let isAnswered = false;
    const held = made('PATCH', registry('gated'), { tags: { a: '1' } }).then(() => {
      isAnswered = true;
    });
    await sleep(200);
    assert.equal(isAnswered, false);
    goOn.resolve();
    await push;
    await held;
  });

  test('a PUT that says the same changes nothing; a PATCH merges; tags are replaced', async () => {
    const start = await here.journal.head(tenantStreamOf(sample.tenantUid));
    const body = {
      tags: { a: '1', b: '2' },
      properties: { policies: { retentionPolicy: { days: 30, status: 'Enabled' } } },
    };
    const first = await create('merging', body);
    assert.deepEqual(await create('merging', body), first);
    const patched = await made('PATCH', registry('merging'), {
      location: 'westus',
      tags: { c: '3' },
      properties: { policies: { retentionPolicy: { days: 5 } } },
    });
    assert.deepEqual([patched.tags, patched.location], [{ c: '3' }, 'eastus']);
    const { retentionPolicy, exportPolicy } = patched.properties.policies;
    assert.deepEqual([retentionPolicy.days, retentionPolicy.status, exportPolicy.status], [5, 'enabled', 'enabled']);
    const events = await here.journal.after(start, 10);
    assert.deepEqual(
      events.map(({ type, actor }) => [type, actor]),
      [
        ['resource.created', 'olivia'],
        ['resource.updated', 'olivia'],
      ],
    );
  });

  test('If-Match and If-None-Match keep two writers apart', async () => {
    const body = { location: 'eastus', sku: { name: 'Basic' } };
    const answer = await here.send('PUT', registry('etagged'), body, { 'if-none-match': '*' });
    assert.equal(answer.status, 201);
    const etag = answer.headers.get('etag') ?? '';
    await refused(
      await here.send('PUT', registry('etagged'), body, { 'if-none-match': '*' }),
      412,
      'PreconditionFailed',
    );
    await made('PATCH', registry('etagged'), { tags: { a: 'b' } }, { 'if-match': etag });
    await refused(
      await here.send('PATCH', registry('etagged'), { tags: {} }, { 'if-match': etag }),
      412,
      'PreconditionFailed',
    );
    await refused(
      await here.send('DELETE', registry('etagged'), undefined, { 'if-match': etag }),
      412,
      'PreconditionFailed',
    );
    await refused(await here.send('PUT', registry('etagnew'), body, { 'if-match': '*' }), 412, 'PreconditionFailed');
  });

  test('a SKU keeps its gates: at creation, at an upgrade, at a downgrade', async () => {
    const basic = (properties: object) =>
      here.send('PUT', registry('gatedone'), { location: 'local', sku: { name: 'Basic' }, properties });
    const gated = [
      { anonymousPullEnabled: true },
      { dataEndpointEnabled: true },
      { publicNetworkAccess: 'Disabled' },
      { networkRuleSet: { defaultAction: 'Deny' } },
      { networkRuleSet: { ipRules: [{ value: '203.0.113.1' }] } },
      { policies: { retentionPolicy: { status: 'enabled' } } },
      { policies: { exportPolicy: { status: 'disabled' } } },
      { policies: { trustPolicy: { status: 'enabled' } } },
      { regionalEndpoints: 'Enabled' },
      { endpointProtocol: 'IPv4AndIPv6' },
    ];
    for (const properties of gated) await refused(await basic(properties), 400, 'SkuNotSupported');
    await create('gatedtwo', { properties: { dataEndpointEnabled: true, anonymousPullEnabled: true } });
    const down = await here.send('PATCH', registry('gatedtwo'), { sku: { name: 'Basic' } });
    await refused(down, 409, 'DowngradeNotAllowed', /anonymous pull.*data endpoints/);
    await made('PATCH', registry('gatedtwo'), {
      sku: { name: 'Basic' },
      properties: { dataEndpointEnabled: false, anonymousPullEnabled: false },
    });
    await here.directory.refresh();
    assert.equal(here.directory.byName('gatedtwo')?.sku, 'Basic');
  });

  test('wrong requests are told what is wrong with them', async () => {
    const put = (body: object, name = 'wrongone') => here.send('PUT', registry(name), body);
    const ok = { location: 'local', sku: { name: 'Premium' } };
    await refused(await put({ sku: ok.sku }), 400, 'InvalidParameter', /location/);
    await refused(await put({ ...ok, location: 'mars' }), 400, 'LocationNotAvailableForResourceType', /eastus/);
    await refused(await put({ location: 'local' }), 400, 'InvalidParameter', /sku/);
    await refused(await put({ ...ok, sku: { name: 'Huge' } }), 400, 'InvalidParameter', /sku.name/);
    await refused(
      await put({ ...ok, properties: { adminUserEnabled: 'yes' } }),
      400,
      'InvalidParameter',
      /adminUserEnabled/,
    );
    const rules = { networkRuleSet: { ipRules: [{ value: 'not an address' }] } };
    await refused(await put({ ...ok, properties: rules }), 400, 'InvalidParameter', /ipRules.0.value/);
    await refused(await put({ ...ok, tags: { a: 'x'.repeat(257) } }), 400, 'InvalidParameter', /tags.a/);
    for (const name of ['abcd', 'with-dash', 'login', 'a'.repeat(51)])
      await refused(await put(ok, name), 400, 'InvalidResourceName');
    await refused(await put(ok, 'FABRIKAM'), 409, 'AlreadyInUse');
    await refused(
      await here.send('PUT', registry('someone', `${subscription}/resourceGroups/none`), ok),
      404,
      'ResourceGroupNotFound',
    );
    await refused(await here.send('PATCH', registry('missing1'), {}), 404, 'ResourceNotFound');
    await refused(
      await here.send('GET', `${group}/providers/Microsoft.Compute/virtualMachines/x`),
      404,
      'InvalidResourceType',
    );
    await refused(await here.send('GET', `/subscriptions/${ids.guid()}/resourceGroups`), 404, 'SubscriptionNotFound');
    await refused(await here.send('GET', `${group}/..%2f..%2fetc`), 400, 'InvalidRequestContent');
    await refused(await here.fetch(`https://arm.test${group}`), 400, 'MissingApiVersionParameter');
    await refused(await here.fetch(`https://arm.test${group}?api-version=latest`), 400, 'InvalidApiVersionParameter');
    await refused(
      await here.send('GET', `${subscription}/resources?$filter=drop%20table`),
      400,
      'InvalidFilterInQueryString',
    );
    await refused(await here.send('POST', `${group}/moveResources`, {}), 409, 'ResourceMoveNotSupported');
    assert.equal((await here.send('GET', registry('wrongone'))).status, 404);
  });

  test('lists come in pages, and filters pick from them', async () => {
    const base = `${subscription}/resourceGroups/paging`;
    await made('PUT', base, { location: 'local' });
    const all = Array.from({ length: 5 }, (_, index) => `paged${index}`);
    for (const name of all) {
      const tags = { even: String(Number(name.at(-1)) % 2 === 0) };
      await made('PUT', registry(name, base), { location: 'local', sku: { name: 'Basic' }, tags });
    }
    const found: string[] = [];
    let next: string | undefined = `https://arm.test${base}/resources?$top=2&${version}`;
    while (next !== undefined) {
      const page: z.infer<typeof listSchema> = listSchema.parse(await (await here.fetch(next)).json());
      found.push(...page.value.map(({ name }) => name));
      next = page.nextLink;
    }
    assert.deepEqual(found, all);
    const filtered = (filter: string) => names(`${subscription}/resources?$filter=${encodeURIComponent(filter)}`);
    assert.deepEqual(await filtered("tagName eq 'EVEN' and tagValue eq 'true'"), ['paged0', 'paged2', 'paged4']);
    assert.deepEqual(await filtered("resourceGroup eq 'Paging' and substringof('3', name)"), ['paged3']);
    assert.deepEqual(await filtered("resourceType eq 'microsoft.containerregistry/registries' and name eq 'PAGED1'"), [
      'paged1',
    ]);
    assert.deepEqual(await filtered("name eq 'paged1' or (name eq 'paged2' and location eq 'local')"), [
      'paged1',
      'paged2',
    ]);
  });

  test('locks hold for what is inside, and let reading and themselves go', async () => {
    const base = `${subscription}/resourceGroups/locked`;
    await made('PUT', base, { location: 'local' });
    await made('PUT', registry('lockedone', base), { location: 'local', sku: { name: 'Basic' } });
    const lock = `${base}/providers/Microsoft.Authorization/locks/keep`;
    await made('PUT', lock, { properties: { level: 'CanNotDelete' } });
    await refused(await here.send('DELETE', registry('lockedone', base)), 409, 'ScopeLocked', /keep/);
    await refused(await here.send('DELETE', base), 409, 'ScopeLocked');
    await made('PATCH', registry('lockedone', base), { tags: { a: 'b' } });
    await made('PUT', lock, { properties: { level: 'ReadOnly' } });
    await refused(await here.send('PATCH', registry('lockedone', base), { tags: {} }), 409, 'ScopeLocked');
    await refused(
      await here.send('PUT', registry('lockedtwo', base), { location: 'local', sku: { name: 'Basic' } }),
      409,
      'ScopeLocked',
    );
    await refused(await here.send('POST', `${registry('lockedone', base)}/listCredentials`), 409, 'ScopeLocked');
    assert.equal((await here.send('GET', `${registry('lockedone', base)}/listUsages`)).status, 200);
    assert.equal((await here.send('DELETE', lock)).status, 200);
    const inner = `${registry('lockedone', base)}/providers/Microsoft.Authorization/locks/inner`;
    await made('PUT', inner, { properties: { level: 'CanNotDelete' } });
    assert.deepEqual(await names(`${base}/providers/Microsoft.Authorization/locks`), ['inner']);
    await refused(await here.send('DELETE', base), 409, 'ScopeLocked');
    assert.equal((await here.send('DELETE', inner)).status, 200);
    await ended(await here.send('DELETE', base));
    assert.equal((await here.send('GET', base)).status, 404);
  });

  test('a deleted registry is out of use at once, and its name free when its content has left', async () => {
    const { id } = await create('leaving');
    await here.directory.refresh();
    const uid = here.directory.byName('leaving')?.uid ?? '';
    await fill(database, uid);
    await ended(await here.send('DELETE', id));
    await here.directory.refresh();
    assert.equal(here.directory.byName('leaving'), undefined);
    assert.equal((await here.send('DELETE', id)).status, 204);
    for (const table of ['repositories', 'blobs', 'uploads'] as const) {
      const rows = await database.read
        .selectFrom(table)
        .where('registry_uid', '=', uid)
        .select('registry_uid')
        .execute();
      assert.deepEqual(rows, [], table);
    }
    assert.notEqual((await create('leaving')).id, '');
    await here.directory.refresh();
    assert.notEqual(here.directory.byName('leaving')?.uid, uid);
  });

  test('a deletion that a killed server began is finished by the next; meanwhile nothing is made in the group', async () => {
    const other = await open();
    const { tenantUid } = await sampleAccess(other);
    const first = await process(other, tenantUid, folder.path);
    const [{ id: root } = { id: '' }] = z
      .object({ value: z.array(z.looseObject({ id: z.string() })) })
      .parse(await (await first.send('GET', '/subscriptions')).json()).value;
    const base = `${root}/resourceGroups/doomed`;
    await first.send('PUT', base, { location: 'local' });
    const body = { location: 'local', sku: { name: 'Basic' } };
    assert.equal((await first.send('PUT', registry('doomedone', base), body)).status, 201);
    const begun = await first.send('DELETE', base);
    assert.equal(begun.status, 202);
    await refused(await first.send('PUT', registry('doomedtwo', base), body), 409, 'ResourceBeingDeleted');
    await refused(await first.send('PUT', base, { location: 'local' }), 409, 'ResourceBeingDeleted');
    await first.stop();
    const second = await process(await open({ again: other }), tenantUid, folder.path);
    second.runJobs();
    await waitFor('the group is gone', 120_000, async () => (await second.send('GET', base)).status === 404);
    assert.equal((await second.fetch(begun.headers.get('location') ?? '')).status, 204);
    assert.equal((await second.send('GET', registry('doomedone', base))).status, 404);
    await second.stop();
  });

  test('the registry that answers on localhost stays, and so does its group', async () => {
    const base = `${subscription}/resourceGroups/berth`;
    await refused(await here.send('DELETE', registry('contoso', base)), 409, 'OperationNotAllowed');
    await refused(await here.send('DELETE', base), 409, 'OperationNotAllowed');
  });

  test('admin credentials are shown while the account is on, and renewed one by one', async () => {
    const { id } = await create('admined');
    const credentials = z.object({
      username: z.string(),
      passwords: z.array(z.object({ name: z.string(), value: z.string() })),
    });
    await refused(await here.send('POST', `${id}/listCredentials`), 400, 'InvalidParameter', /disabled/);
    await made('PATCH', id, { properties: { adminUserEnabled: true } });
    const shown = credentials.parse(await (await here.send('POST', `${id}/listCredentials`)).json());
    const renewed = credentials.parse(
      await (await here.send('POST', `${id}/regenerateCredential`, { name: 'password2' })).json(),
    );
    assert.equal(renewed.username, 'admined');
    assert.equal(renewed.passwords[0]?.value, shown.passwords[0]?.value);
    assert.notEqual(renewed.passwords[1]?.value, shown.passwords[1]?.value);
    await refused(
      await here.send('POST', `${id}/regenerateCredential`, { name: 'password3' }),
      400,
      'InvalidParameter',
    );
  });

  test('domain name labels: the scope gives the login server its hash, and cannot change', async () => {
    const labelled = async (name: string, autoGeneratedDomainNameLabelScope: string) =>
      await create(name, { properties: { autoGeneratedDomainNameLabelScope } });
    const reused = await labelled('labelled', 'SubscriptionReuse');
    assert.match(reused.properties.loginServer, /^labelled-[a-h0-7]{16}\.berth\.test$/);
    const patched = await made('PATCH', reused.id, { properties: { autoGeneratedDomainNameLabelScope: 'Unsecure' } });
    assert.equal(patched.properties.loginServer, reused.properties.loginServer);
    await here.directory.refresh();
    assert.equal(here.directory.byHost(reused.properties.loginServer)?.name, 'labelled');
    assert.equal(here.directory.byHost('labelled.berth.test'), undefined);
    await ended(await here.send('DELETE', reused.id));
    assert.equal(
      (await labelled('labelled', 'SubscriptionReuse')).properties.loginServer,
      reused.properties.loginServer,
    );
    const random = await labelled('randomly', 'NoReuse');
    await ended(await here.send('DELETE', random.id));
    assert.notEqual((await labelled('randomly', 'NoReuse')).properties.loginServer, random.properties.loginServer);
  });

  test('of many creations of one name at once, in two groups, one succeeds', async () => {
    const berth = `${subscription}/resourceGroups/berth`;
    const body = { location: 'eastus', sku: { name: 'Basic' } };
    const answers = await Promise.all(
      [group, berth, group, berth].map((base) => here.send('PUT', registry('raced', base), body)),
    );
    const statuses = answers.map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 201).length, 1, statuses.join());
    assert(
      statuses.every((status) => [200, 201, 409].includes(status)),
      statuses.join(),
    );
    assert.deepEqual(await names(`${subscription}/resources?$filter=${encodeURIComponent("name eq 'raced'")}`), [
      'raced',
    ]);
  });

  test('names are checked before they are used', async () => {
    const check = async (name: string) => {
      const path = `${subscription}/providers/Microsoft.ContainerRegistry/checkNameAvailability`;
      return await (await here.send('POST', path, { name, type: 'Microsoft.ContainerRegistry/registries' })).json();
    };
    assert.deepEqual(await check('brandnew'), { nameAvailable: true, availableLoginServerName: 'brandnew.berth.test' });
    const reason = z.looseObject({ nameAvailable: z.literal(false), reason: z.string() });
    assert.equal(reason.parse(await check('Fabrikam')).reason, 'AlreadyExists');
    assert.equal(reason.parse(await check('portal')).reason, 'Invalid');
    assert.equal(reason.parse(await check('no-dash')).reason, 'Invalid');
  });

  test('identities: a system one has the same ids until it is removed; unknown ones are refused', async () => {
    const { id } = await create('identified', { identity: { type: 'SystemAssigned' } });
    const identity = z.looseObject({ principalId: z.string(), tenantId: z.literal(tenantId) });
    const first = identity.parse((await made('GET', id, undefined)).identity);
    await made('PATCH', id, { tags: { a: 'b' } });
    assert.deepEqual(identity.parse((await made('GET', id, undefined)).identity), first);
    await made('PUT', id, { location: 'eastus', sku: { name: 'Premium' }, identity: { type: 'None' } });
    assert.equal((await made('GET', id, undefined)).identity, undefined);
    const stranger = `${group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nobody`;
    const unknown = { identity: { type: 'UserAssigned', userAssignedIdentities: { [stranger]: {} } } };
    await refused(await here.send('PATCH', id, unknown), 400, 'InvalidParameter', /nobody/);
  });

  test('tags are merged, replaced and deleted as a resource of their own', async () => {
    const { id } = await create('taggedby');
    const tags = `${id}/providers/Microsoft.Resources/tags/default`;
    const send = async (method: string, body?: object) => (await made(method, tags, body)).properties.tags;
    assert.deepEqual(await send('PUT', { properties: { tags: { a: '1' } } }), { a: '1' });
    assert.deepEqual(await send('PATCH', { operation: 'Merge', properties: { tags: { b: '2' } } }), { a: '1', b: '2' });
    assert.deepEqual(await send('PATCH', { operation: 'Delete', properties: { tags: { a: '1' } } }), { b: '2' });
    assert.deepEqual((await made('GET', id, undefined)).tags, { b: '2' });
    assert.equal((await here.send('DELETE', tags)).status, 200);
    assert.deepEqual(await send('GET'), {});
  });

  test('usage counts what is stored', async () => {
    const { id } = await create('measured');
    await here.directory.refresh();
    await fill(database, here.directory.byName('measured')?.uid ?? '');
    const usages = z.object({
      value: z.array(z.object({ name: z.string(), limit: z.int(), currentValue: z.int(), unit: z.string() })),
    });
    const { value } = usages.parse(await (await here.send('GET', `${id}/listUsages`)).json());
    assert.deepEqual(value[0], { name: 'Size', limit: 500 * 1024 ** 3, currentValue: 1_000 * 300 + 2, unit: 'Bytes' });
  });
});

/** Content of every kind: 300 blobs of 1,000 bytes, one manifest of 2 bytes with a tag, an upload that nobody holds. */
async function fill(database: Database, registry_uid: string): Promise<void> {
  const [created_at, changed_at, repository_uid] = [1, 1, ids.uid()];
  const digests = Array.from({ length: 300 }, () => `sha256:${Buffer.from(ids.bytes(32)).toString('hex')}`);
  const digest = digests[0] ?? '';
  await database.transaction(async (tx) => {
    await tx
      .insertInto('repositories')
      .values({ uid: repository_uid, registry_uid, name: 'app', created_at, changed_at })
      .execute();
    await tx
      .insertInto('blobs')
      .values(
        digests.map((each) => ({
          registry_uid,
          digest: each,
          storage_key: newKey(),
          size: 1_000,
          stored_size: 1_000,
          format: 'plain' as const,
          scope: '',
          state: 'ready' as const,
          created_at,
          grace_until: 0,
          checksums: new Uint8Array(4),
        })),
      )
      .execute();
    await tx
      .insertInto('blob_links')
      .values(digests.map((each) => ({ repository_uid, digest: each, created_at })))
      .execute();
    await tx
      .insertInto('manifests')
      .values({
        repository_uid,
        digest,
        media_type: 'application/vnd.oci.image.manifest.v1+json',
        artifact_type: null,
        size: 2,
        subject_digest: null,
        annotations: null,
        created_at,
        changed_at,
        body: new Uint8Array(2),
      })
      .execute();
    await tx
      .insertInto('manifest_references')
      .values(digests.map((each) => ({ repository_uid, manifest_digest: digest, digest: each, kind: 'blob' as const })))
      .execute();
    await tx
      .insertInto('registry_usage')
      .values({ registry_uid, bytes: 300 * 1_000 + 2 })
      .execute();
    await tx
      .insertInto('tags')
      .values({ repository_uid, name: 'v1', digest, hybrid_time: 1, region: 'home', created_at, changed_at })
      .execute();
    await tx
      .insertInto('uploads')
      .values({
        uid: ids.uid(),
        registry_uid,
        repository_uid,
        principal: 'olivia',
        algorithm: 'sha256',
        handle: newKey(),
        offset: 0,
        parts: '[]',
        lease_owner: null,
        lease_until: 0,
        fence: 0,
        created_at,
        changed_at,
        expires_at: Number.MAX_SAFE_INTEGER,
      })
      .execute();
  });
}

/** The form of the folder store's keys. */
function newKey(): string {
  return Buffer.from(ids.bytes(16)).toString('hex');
}
