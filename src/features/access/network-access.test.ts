import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, test } from 'node:test';
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
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { type NetworkRules, openAccess } from '../registries/registry.ts';
import type { Circumstances } from './decision.ts';

const repository = parseRepositoryName('app');
const inside = '203.0.113.9';
const outside = '198.51.100.1';

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleAccess;
  let here: SampleProcess;
  let authorization: string;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    const [password = ''] = await sample.adminPasswords(sample.registryUid);
    authorization = basic('contoso', password);
  });
  beforeEach(async () => {
    await setRules({});
    here = await sampleProcess(database, sample.tenantUid, new HeldClock());
  });
  afterEach(() => here.close());

  /** As another process writes them. */
  const setRules = async (rules: Partial<NetworkRules>) => {
    await database.transaction(async (tx) => {
      await raiseAccessEpoch(tx, sample.tenantUid);
      await tx
        .updateTable('registries')
        .set({ network_rules: JSON.stringify({ ...openAccess.network, ...rules }) })
        .where('uid', '=', sample.registryUid)
        .execute();
    });
  };
  const onlyInside = () => setRules({ defaultAction: 'Deny', allowed: ['203.0.113.0/24'] });
  const registry = () => here.directory.byUid(sample.registryUid) ?? assert.fail();
  const pull = async (from: Partial<Circumstances>, shown: string | undefined = authorization) =>
    await here.authorize({
      registry: registry(),
      authorization: shown,
      action: 'pull',
      repository,
      circumstances: { ...sampleCircumstances, ...from },
    });
  const refused = { error: 'networkDenied' };

  test('rules hold from the next request on, also for credentials that this process knows', async () => {
    const before = await pull({ address: outside });
    await onlyInside();
    const { access_epoch: epoch } = await database.read
      .selectFrom('tenants')
      .where('uid', '=', sample.tenantUid)
      .select('access_epoch')
      .executeTakeFirstOrThrow();
    await assert.rejects(before.confirm(epoch), refused);
    await assert.rejects(pull({ address: outside }), refused);
    await (await pull({ address: inside })).confirm(epoch);
  });

  test('and end with the next request too', async () => {
    await onlyInside();
    await here.directory.refresh();
    await assert.rejects(pull({ address: outside }), refused);
    await setRules({});
    await pull({ address: outside });
  });

  test('kept out, nobody learns whether credentials are right, and no sign-in is counted', async () => {
    await setRules({ isPublic: false, allowed: ['203.0.113.0/24'] });
    await here.directory.refresh();
    for (const shown of [authorization, basic('contoso', 'wrong'), 'Bearer nothing', undefined])
      await assert.rejects(pull({ address: inside }, shown), refused);
    const lines = await here.accessLines();
    assert(!lines.some(({ kind, identity }) => kind === 'signIn' && identity === 'unknown'));
    assert(lines.some(({ kind, status }) => kind === 'denial' && status === 403));
  });

  test('tokens are neither given nor of use outside', async () => {
    const issue = (address: string) =>
      here.issueTokens({
        registry: registry(),
        credentials: { kind: 'header', authorization },
        asked: [{ type: 'repository', name: 'app', actions: ['pull'] }],
        wantsRefreshToken: true,
        circumstances: { ...sampleCircumstances, address, surface: 'token' },
      });
    await onlyInside();
    await assert.rejects(issue(outside), refused);
    const { accessToken, refreshToken } = await issue(inside);
    await pull({ address: inside }, `Bearer ${accessToken}`);
    await assert.rejects(pull({ address: outside }, `Bearer ${accessToken}`), refused);
    const nobody = '00000000-0000-0000-0000-000000000000';
    await pull({ address: inside }, basic(nobody, refreshToken ?? ''));
    await assert.rejects(pull({ address: outside }, basic(nobody, refreshToken ?? '')), refused);
  });

  test('the control plane is no data plane', async () => {
    await setRules({ isPublic: false });
    await here.directory.refresh();
    const request = { registry: registry(), authorization, circumstances: sampleCircumstances } as const;
    await here.authorize({
      ...request,
      action: 'connect',
      circumstances: { ...sampleCircumstances, surface: 'admin' },
    });
    await assert.rejects(here.authorize({ ...request, action: 'connect' }), refused);
  });
});
