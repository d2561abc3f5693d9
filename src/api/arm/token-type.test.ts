import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { afterEach, before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  basic,
  type SampleProcess,
  sampleAccess,
  sampleCircumstances,
  sampleProcess,
} from '../../../test/support/sample-access.ts';
import { sampleRepositoryTokens } from '../../../test/support/sample-repository-tokens.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Action } from '../../features/access/decision.ts';
import { uidOfObjectId } from '../../features/identity/object-id.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';

/** Self-signed, for a hundred years. */
const pem = `-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIUKFh/Ba59vUt4sN+U/kPvjoPIYm4wCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFdG9rZW4wIBcNMjYxMTIxMTMyOTUzWhgPMjEyNjEwMjgxMzI5
NTNaMBAxDjAMBgNVBAMMBXRva2VuMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
ukDMewWnKTla/KEkymBMm71fGmCdxWKB28vmLHqTeFTX6Z/ZoyQwaPtzUtG5lmyR
zqv/jMPFLEXDkhwoL7UWAKNTMFEwHQYDVR0OBBYEFGkwpT700r4g3D9Z8ofMDlDi
9lyhMB8GA1UdIwQYMBaAFGkwpT700r4g3D9Z8ofMDlDi9lyhMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgPMVyYuzORewI6aSR5jaXufAOSt8FQ+of
dS2T4gjrl6sCICkRB2PzHJ+AaQN06L5DZzQu8soEsoUq5sCVhqUfmsVt
-----END CERTIFICATE-----
`;
const dayMicros = 24 * 3_600 * 1_000_000;

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let sample: Awaited<ReturnType<typeof sampleAccess>>;
  let here: SampleProcess;
  let tokens: Awaited<ReturnType<typeof sampleRepositoryTokens>>;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tokens = await sampleRepositoryTokens({ ...sample, database, journal: here.journal, clock });
    await here.close();
    await tokens.map('readers', 'app/web/content/read', 'app/web/metadata/read');
    await tokens.map('writers', 'app/*/content/read', 'app/*/content/write');
  });
  beforeEach(async () => {
    here = await sampleProcess(database, sample.tenantUid, clock);
  });
  afterEach(() => here.close());

  /** What this process answers to one request with a name and password: `ok`, or the error. */
  const ask = async (userName: string, password: string, action: Action = 'pull', repository = 'app/web') => {
    const registry = here.directory.byUid(sample.registryUid) ?? assert.fail();
    try {
      const authority = await here.authorize({
        registry,
        authorization: basic(userName, password),
        action,
        ...(['connect', 'catalogList'].includes(action) ? {} : { repository: parseRepositoryName(repository) }),
        circumstances: sampleCircumstances,
      });
      // As content operations do: the epoch comes with the row that they read anyway.
      await authority.confirm(await tokens.epoch());
      return 'ok';
    } catch (error) {
      return error instanceof Error && 'error' in error ? error.error : error;
    }
  };
  const shown = async (name: string, scopeMap = 'readers') =>
    tokens.types.tokens.properties(await tokens.token(name, scopeMap), '2023-01-01-preview');

  test('a token signs in with either password, and may do what its scope map says, never list repositories', async () => {
    const { objectId, credentials, ...properties } = await shown('webapp');
    assert.ok(uidOfObjectId(String(objectId)));
    assert.deepEqual(credentials, { passwords: [], certificates: [] });
    assert.deepEqual(properties, {
      scopeMapId: `${tokens.registry.id}/scopeMaps/readers`,
      status: 'enabled',
      creationDate: new Date(clock.nowMicros() / 1_000).toISOString(),
      provisioningState: 'Succeeded',
    });
    for (const password of await tokens.generate('webapp')) {
      assert.equal(await ask('webapp', password), 'ok');
      assert.equal(await ask('WebApp', password, 'metadata_read'), 'ok');
      assert.equal(await ask('webapp', password, 'connect'), 'ok');
      assert.equal(await ask('webapp', password, 'push'), 'denied');
      assert.equal(await ask('webapp', password, 'pull', 'app/other'), 'denied');
      assert.equal(await ask('webapp', password, 'catalogList'), 'denied');
      assert.equal(await ask('webapp', password, 'administer'), 'denied');
    }
  });

  test('it is somebody in its own registry only', async () => {
    await tokens.token('insider', '_repositories_admin');
    const [password = ''] = await tokens.generate('insider');
    const registry = here.directory.byUid(sample.otherUid) ?? assert.fail();
    const authorization = basic('insider', password);
    const elsewhere = { registry, authorization, action: 'connect', circumstances: sampleCircumstances } as const;
    await assert.rejects(here.authorize(elsewhere), { error: 'credentialsWrong' });
  });

  test('passwords are shown once and kept as hashes', async () => {
    await tokens.token('secretive', 'readers');
    const values = await tokens.generate('secretive');
    assert.equal(new Set(values).size, 2);
    const everything = JSON.stringify([
      await database.read.selectFrom('resources').selectAll().execute(),
      await database.read.selectFrom('secrets').selectAll().execute(),
      (await database.read.selectFrom('journal_events').select('bytes').execute()).map(({ bytes }) =>
        Buffer.from(bytes).toString(),
      ),
    ]);
    for (const value of values) assert(!everything.includes(value));
  });

  test('a new password ends the one of its name, and leaves the other', async () => {
    await tokens.token('rotating', 'readers');
    const [first = '', second = ''] = await tokens.generate('rotating');
    assert.equal(await ask('rotating', first), 'ok');
    const [third = ''] = await tokens.generate('rotating', { names: ['password1'] });
    assert.deepEqual(
      [await ask('rotating', first), await ask('rotating', second), await ask('rotating', third)],
      ['credentialsWrong', 'ok', 'ok'],
    );
  });

  test('a password ends when it expires, and cannot be made to have expired', async () => {
    await tokens.token('expiring', 'readers');
    const expiresAtMicros = clock.nowMicros() + dayMicros;
    const [password = ''] = await tokens.generate('expiring', { names: ['password2'], expiresAtMicros });
    const { credentials } = await shown('expiring');
    assert.deepEqual(credentials, {
      certificates: [],
      passwords: [
        {
          name: 'password2',
          creationTime: new Date(clock.nowMicros() / 1_000).toISOString(),
          expiry: new Date(expiresAtMicros / 1_000).toISOString(),
        },
      ],
    });
    assert.equal(await ask('expiring', password), 'ok');
    clock.advance(dayMicros / 1_000);
    assert.equal(await ask('expiring', password), 'credentialsWrong');
    const late = tokens.generate('expiring', { expiresAtMicros: clock.nowMicros() });
    await assert.rejects(late, { error: 'resourceInvalid' });
  });

  test('a list of passwords in a request says which stay; without one all do', async () => {
    await tokens.token('keeping', 'readers');
    const [first = '', second = ''] = await tokens.generate('keeping');
    const scopeMapId = `${tokens.registry.id}/scopeMaps/readers`;
    await tokens.write('tokens', 'keeping', { scopeMapId, status: 'enabled' });
    assert.deepEqual([await ask('keeping', first), await ask('keeping', second)], ['ok', 'ok']);
    const passwords = [{ name: 'password2', value: 'mine', creationTime: 'then' }];
    await tokens.write('tokens', 'keeping', { scopeMapId, credentials: { passwords } });
    assert.deepEqual([await ask('keeping', first), await ask('keeping', second)], ['credentialsWrong', 'ok']);
    assert.equal(await ask('keeping', 'mine'), 'credentialsWrong');
    await tokens.write('tokens', 'keeping', { scopeMapId, credentials: { passwords: [{ name: 'password1' }] } });
    assert.equal(await ask('keeping', second), 'credentialsWrong');
  });

  test('a disabled token, another scope map and a changed one count from the next request', async () => {
    await tokens.token('changing', 'readers');
    const [password = ''] = await tokens.generate('changing');
    const push = () => ask('changing', password, 'push', 'app/api');
    // A right that is new is noticed with the first request that asks for the epoch, such as one for a token.
    const pushLater = async () => {
      await here.directory.refresh();
      return await push();
    };
    assert.equal(await push(), 'denied');
    await tokens.token('changing', 'writers');
    assert.equal(await pushLater(), 'ok');
    await tokens.map('writers', 'app/*/content/read');
    assert.equal(await push(), 'denied');
    await tokens.map('writers', 'app/*/content/read', 'app/*/content/write');
    assert.equal(await pushLater(), 'ok');
    await tokens.token('changing', 'writers', 'disabled');
    assert.equal(await push(), 'credentialsWrong');
    await tokens.token('changing', 'writers');
    assert.equal(await pushLater(), 'ok');
    assert.equal(await tokens.remove('tokens', 'changing'), 'done');
    assert.equal(await push(), 'credentialsWrong');
  });

  test('a token that is made again has nothing of the one before', async () => {
    const before = await shown('returning', 'writers');
    const [password = ''] = await tokens.generate('returning');
    await tokens.remove('tokens', 'returning');
    const after = await shown('returning', 'writers');
    assert.notEqual(after.objectId, before.objectId);
    assert.equal(await ask('returning', password), 'credentialsWrong');
  });

  test('a scope map stays while a token has it', async () => {
    await tokens.map('needed', 'app/content/read');
    await tokens.token('needing', 'needed');
    await assert.rejects(tokens.remove('maps', 'needed'), (error) => {
      assert(error instanceof Error && 'detail' in error);
      assert.match(JSON.stringify(error.detail), /cannot be deleted while tokens have it: needing\. /);
      return true;
    });
    await tokens.token('needing', '_repositories_pull');
    assert.equal(await tokens.remove('maps', 'needed'), 'done');
  });

  const wrongMaps: Readonly<Record<string, string>> = {
    'one that does not exist': '/scopeMaps/nothing',
    'one of another registry': '/../fabrikam/scopeMaps/_repositories_pull',
    'no map': '/tokens/webapp',
    'a bare name': '',
  };
  for (const [label, end] of Object.entries(wrongMaps)) {
    test(`the scope map of a token has to be one of its registry: ${label}`, async () => {
      const scopeMapId = end === '' ? 'readers' : `${tokens.registry.id}${end}`;
      await assert.rejects(tokens.write('tokens', 'wrong1', { scopeMapId }), { error: 'resourceInvalid' });
    });
  }

  test('the id of a scope map is shown as the map is spelled', async () => {
    const scopeMapId = `${tokens.registry.id.toUpperCase()}/SCOPEMAPS/READERS`;
    const { properties } = await tokens.write('tokens', 'shouting', { scopeMapId });
    assert.equal(properties.scopeMapId, `${tokens.registry.id}/scopeMaps/readers`);
  });

  for (const name of [
    'four',
    'a'.repeat(51),
    'under_score',
    '00000000-0000-0000-0000-000000000000',
    'contoso',
    '-dash1',
  ]) {
    test(`no token is named ${name.slice(0, 40)}`, () =>
      assert.rejects(tokens.token(name, 'readers'), { error: 'resourceNameInvalid' }));
  }

  test('certificates are kept with the thumbprint and the end that they have', async () => {
    const scopeMapId = `${tokens.registry.id}/scopeMaps/readers`;
    const certificate = new X509Certificate(pem);
    const encoded = { name: 'certificate1', encodedPemCertificate: Buffer.from(pem).toString('base64') };
    const { properties } = await tokens.write('tokens', 'certified', {
      scopeMapId,
      credentials: { certificates: [{ ...encoded, thumbprint: 'made up' }] },
    });
    assert.deepEqual(properties.credentials, {
      passwords: [],
      certificates: [
        {
          ...encoded,
          thumbprint: certificate.fingerprint.replaceAll(':', ''),
          expiry: certificate.validToDate.toISOString(),
        },
      ],
    });
    const certificates = [{ ...encoded, encodedPemCertificate: 'AAAA' }];
    const wrong = tokens.write('tokens', 'certified', { scopeMapId, credentials: { certificates } });
    await assert.rejects(wrong, { error: 'resourceInvalid' });
  });

  test('a registry has as many tokens as its SKU says, also when many are made at once', async () => {
    const { uid } = tokens.registry;
    await database.transaction((tx) =>
      tx
        .updateTable('resources')
        .set({ envelope: JSON.stringify({ sku: { name: 'Basic' } }) })
        .where('uid', '=', uid)
        .execute(),
    );
    const { count } = await database.read
      .selectFrom('resources')
      .where('type', '=', tokens.types.tokens.type)
      .select((on) => on.fn.countAll<number | string>().as('count'))
      .executeTakeFirstOrThrow();
    const free = 100 - Number(count);
    for (let each = 2; each < free; each += 1) await tokens.token(`filler${each}`, 'readers');
    const outcomes = await Promise.allSettled(
      ['one01', 'two02', 'three03', 'four04', 'five05'].map((name) => tokens.token(name, 'readers')),
    );
    const refused = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason.error] : []));
    assert.deepEqual(refused, ['quotaExceeded', 'quotaExceeded', 'quotaExceeded']);
    await tokens.token('one01', 'writers').catch(() => tokens.token('two02', 'writers'));
  });
});
