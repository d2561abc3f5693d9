import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  type SampleAccess,
  type SampleProcess,
  sampleAccess,
  sampleProcess,
} from '../../../test/support/sample-access.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { tenantStreamOf } from '../../platform/journal/journal.ts';
import { openAccess } from './registry.ts';

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleAccess;
  let clock: HeldClock;
  let here: SampleProcess;
  let there: SampleProcess;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
  });
  beforeEach(async () => {
    clock = new HeldClock();
    here = await sampleProcess(database, sample.tenantUid, clock);
    there = await sampleProcess(await open({ again: database }), sample.tenantUid, clock);
  });
  afterEach(async () => {
    await here.close();
    await there.close();
  });

  const create = (name: string) =>
    here.registries.create({
      name,
      sku: 'Standard',
      isAdminEnabled: false,
      isAnonymousPullEnabled: true,
      actor: 'test',
    });

  test('a created registry answers by its host on any port, whatever the case, and elsewhere once somebody asks', async () => {
    const created = await create('Woodgrove');
    assert.deepEqual(created, {
      uid: created.uid,
      tenantUid: sample.tenantUid,
      name: 'Woodgrove',
      resourceKey: created.resourceKey,
      loginServer: 'woodgrove.berth.test:5443',
      sku: 'Standard',
      isAdminEnabled: false,
      isAnonymousPullEnabled: true,
      ...openAccess,
    });
    assert.match(created.resourceKey, /^\/subscriptions\/.*\/microsoft.containerregistry\/registries\/woodgrove$/);
    for (const host of ['woodgrove.berth.test', 'WoodGrove.Berth.Test:80', 'woodgrove.berth.test.:5443']) {
      assert.equal(here.directory.byHost(host)?.uid, created.uid, host);
    }
    assert.equal(there.directory.byHost('woodgrove.berth.test'), undefined);
    assert.equal((await there.directory.lookUp('woodgrove.berth.test'))?.uid, created.uid);
    assert.equal(there.directory.byName('WOODGROVE')?.uid, created.uid);
  });

  test('unknown hosts are looked up once a second', async () => {
    assert.equal(await there.directory.lookUp('adatum.berth.test'), undefined);
    await create('adatum');
    assert.equal(await there.directory.lookUp('adatum.berth.test'), undefined);
    clock.advance(1000);
    assert.notEqual(await there.directory.lookUp('adatum.berth.test'), undefined);
  });

  test('registries are listed by name, and by age to those who want the same first ones in every process', async () => {
    const names = ['zavahq', 'alpineski'];
    for (const name of names) {
      clock.advance(1);
      await create(name);
    }
    await there.directory.refresh();
    for (const { directory } of [here, there]) {
      const oldestFirst = directory.oldestFirst().map(({ name }) => name.toLowerCase());
      assert.deepEqual(oldestFirst.slice(-2), names);
      assert.deepEqual(
        directory.list().map(({ name }) => name.toLowerCase()),
        oldestFirst.toSorted(),
      );
    }
  });

  test('the default registry answers where no name does', () => {
    assert.equal(here.directory.defaultRegistry()?.uid, sample.registryUid);
    assert.equal(here.directory.byHost('localhost'), undefined);
    assert.equal(here.directory.byHost('[::1]:5000'), undefined);
    assert.equal(here.directory.byHost(''), undefined);
  });

  test('names are taken whatever their case, and reserved or malformed ones refused', async () => {
    await assert.rejects(create('CONTOSO'), { error: 'registryNameTaken' });
    for (const name of ['abcd', 'login', 'Portal', 'with-dash', 'a'.repeat(51), 'ünicode', '']) {
      await assert.rejects(create(name), { error: 'registryNameInvalid' }, name);
    }
  });

  test('of many creations of one name at once one succeeds', async () => {
    const outcomes = await Promise.allSettled(
      [here, there, here, there].map(({ registries }) =>
        registries.create({
          name: 'tailspin',
          sku: 'Basic',
          isAdminEnabled: true,
          isAnonymousPullEnabled: false,
          actor: 'test',
        }),
      ),
    );
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    const names = here.directory.list().map(({ name }) => name);
    await here.directory.refresh();
    assert.equal(here.directory.list().filter(({ name }) => name === 'tailspin').length, 1, names.join());
  });

  test('each change raises the epoch once and is told in the tenant stream, without secrets', async () => {
    const epoch = here.directory.epoch();
    const start = await here.journal.head(tenantStreamOf(sample.tenantUid));
    const { uid: registryUid } = await create('litware');
    await here.registries.setAdminEnabled({ registryUid, isOn: true, actor: 'olivia' });
    const changed = await here.registries.setAnonymousPull({ registryUid, isOn: false, actor: 'olivia' });
    assert.deepEqual([changed.isAdminEnabled, changed.isAnonymousPullEnabled], [true, false]);
    assert.equal(here.directory.epoch(), epoch + 3);
    const events = await here.journal.after(start, 10);
    assert.deepEqual(
      events.map(({ type, actor, data }) => [type, actor, data.uid, isAdminEnabled(data)]),
      [
        ['resource.created', 'test', registryUid, false],
        ['resource.updated', 'olivia', registryUid, true],
        ['resource.updated', 'olivia', registryUid, true],
      ],
    );
    for (const secret of await sample.adminPasswords(registryUid)) {
      assert.equal(secret.length, 52);
      assert.equal(JSON.stringify(events).includes(secret), false);
    }
  });

  test('own limits stay as they are when the registry changes, and another process knows of them', async () => {
    const { uid: registryUid } = await create('proseware');
    const start = await here.journal.head(tenantStreamOf(sample.tenantUid));
    await here.registries.setLimits({ registryUid, isThrottled: true, actor: 'olivia' });
    const limited = await here.registries.setLimits({ registryUid, storageLimitBytes: 5_000, actor: 'olivia' });
    assert.deepEqual([limited.isThrottled, limited.storageLimitBytes], [true, 5_000]);
    await here.registries.setAdminEnabled({ registryUid, isOn: true, actor: 'olivia' });
    await there.directory.refresh();
    const seen = there.directory.byUid(registryUid);
    assert.deepEqual([seen?.isThrottled, seen?.storageLimitBytes], [true, 5_000]);
    const back = await here.registries.setLimits({ registryUid, storageLimitBytes: null, actor: 'olivia' });
    assert.deepEqual([back.isThrottled, back.storageLimitBytes], [true, undefined]);
    const told = (await here.journal.after(start, 10)).filter(({ type }) => type === 'registry.limitsUpdated');
    const common = { uid: registryUid, name: 'proseware', isThrottled: true };
    assert.deepEqual(
      told.map(({ data }) => data),
      [null, 5_000, null].map((storageLimitBytes) => ({ ...common, storageLimitBytes })),
    );
    const nowhere = here.registries.setLimits({ registryUid: 'nowhere', isThrottled: true, actor: 'olivia' });
    await assert.rejects(nowhere, { error: 'registryUnknown' });
  });

  test('a switch of a registry that does not exist is refused and changes nothing', async () => {
    const epoch = here.directory.epoch();
    const nowhere = { registryUid: 'nowhere', isOn: true, actor: 'test' };
    await assert.rejects(here.registries.setAdminEnabled(nowhere), { error: 'registryUnknown' });
    await here.directory.refresh();
    assert.equal(here.directory.epoch(), epoch);
  });
});

function isAdminEnabled({ properties }: Readonly<Record<string, unknown>>): unknown {
  return typeof properties === 'object' && properties !== null && Reflect.get(properties, 'adminUserEnabled');
}
