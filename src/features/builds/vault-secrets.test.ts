import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import type { Access } from '../../platform/access-log/access-log.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { VaultSecret } from '../../wire/tasks/vault-secret.ts';
import { writeManagedIdentity } from '../identity/managed-identities.ts';
import { objectIdOf } from '../identity/object-id.ts';
import type { Resource } from '../resources/resource.ts';
import { deleteResource, findByUid, insertResource, updateResource } from '../resources/resource-store.ts';
import type { NewRun, TaskIdentity, VaultAccess } from './run.ts';
import { createReadVaultSecrets } from './vault-secrets.ts';

const clientId = '0a000000-0000-4000-8000-00000000000f';
const from = { address: '192.0.2.1', correlationId: 'sample', userAgent: undefined };

forEachDatabase((_, open) => {
  let builds: SampleBuilds;
  let host: string;
  let most = 0;
  const tokens: string[] = [];
  const accesses: Access[] = [];
  const [own, given, taskUid] = [ids.uid(), ids.uid(), ids.uid()];
  let task: Resource;
  let write: (change: (tx: Transaction) => Promise<unknown>) => Promise<void>;
  let readVaultSecrets: ReturnType<typeof createReadVaultSecrets>;
  let stop: () => Promise<void>;

  before(async () => {
    const database = await open();
    builds = await sampleBuilds(database);
    const { tenantUid, here, held } = builds;
    await here.journal.transaction(async (tx, append) => {
      const change = { tenantUid, actor: 'test', nowMicros: held.nowMicros() };
      const of = (uid: string, id: string) => ({ uid, clientId: id, name: id, resourceId: `/${id}` });
      await writeManagedIdentity(tx, append, { ...of(own, ids.guid()), kind: 'systemAssigned' }, change);
      await writeManagedIdentity(tx, append, { ...of(given, clientId), kind: 'userAssigned' }, change);
    });
    const registry = (await findByUid(database.read, builds.registryUid)) ?? assert.fail('the sample has it');
    const type = `${registry.type}/tasks`;
    task = {
      ...registry,
      ...{ id: `${registry.id}/tasks/publish`, parentId: registry.id, type, name: 'publish', uid: taskUid },
      identity: {
        principalId: objectIdOf(own),
        userAssignedIdentities: { '/given': { clientId, principalId: objectIdOf(given) } },
      },
    };
    write = async (change) => {
      await database.transaction(async (tx) => void (await change(tx)));
    };
    await write((tx) => insertResource(tx, task));
    let asking = 0;
    const vault = createServer((request, response) => {
      const { authorization } = request.headers;
      if (authorization === undefined) {
        response.writeHead(401).end();
        return;
      }
      tokens.push(authorization.slice('Bearer '.length));
      asking += 1;
      most = Math.max(most, asking);
      response.on('finish', () => {
        asking -= 1;
      });
      const [, , name = ''] = (request.url ?? '').split(/[/?]/);
      setTimeout(() => response.end(JSON.stringify({ value: `value of ${name}` })), 5);
    }).listen(0, '127.0.0.1');
    await once(vault, 'listening');
    const address = vault.address();
    assert.ok(typeof address === 'object' && address !== null);
    host = `127.0.0.1:${address.port}`;
    const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
    readVaultSecrets = createReadVaultSecrets({
      ...{ database, tenantUid, outbound, tenantTokens: here.tenantTokens, sealer: here.account.sealer },
      clock: systemClock,
      accessLog: { record: (access) => void accesses.push(access) },
    });
    stop = async () => {
      await outbound.close();
      vault.closeAllConnections();
      vault.close();
      await builds.close();
    };
  });
  after(() => stop());

  const secret = (name: string, more: Partial<VaultSecret> = {}) => ({
    ...{ id: name, keyvault: `http://${host}/secrets/${name}` },
    ...more,
  });
  const read = async (access: VaultAccess | undefined, ...secrets: readonly VaultSecret[]) =>
    await readIn(access === undefined ? {} : { vaultAccess: access }, ...secrets);
  const readIn = async (run: Partial<NewRun>, ...secrets: readonly VaultSecret[]) => {
    tokens.length = 0;
    await builds.runs.schedule(builds.newRun(run));
    const { lease } = (await builds.take()) ?? assert.fail('no run waits');
    const held = await builds.leases.held(lease);
    const answer = await readVaultSecrets({ run: held, secrets, from, signal: new AbortController().signal });
    await builds.leases.finish(lease, { status: 'Succeeded', images: [], dependencies: [] });
    return answer;
  };
  const lent = (...identities: readonly TaskIdentity[]): VaultAccess => ({
    ...{ kind: 'identities', resourceUid: taskUid, identities },
  });
  const both = lent({ principalUid: own }, { clientId, principalUid: given });

  test('each secret is read as the identity that it names, with a token that nothing else takes', async () => {
    accesses.length = 0;
    const answer = await read(both, secret('npm'), secret('pip', { clientId: clientId.toUpperCase() }));
    assert('values' in answer);
    assert.deepEqual(answer.values, [
      { id: 'npm', value: 'value of npm' },
      { id: 'pip', value: 'value of pip' },
    ]);
    assert(answer.masked.includes('value of npm') && answer.masked.length > 2);
    const { tenantKeys, tenantTokens } = builds.here;
    const expected = { issuer: tenantTokens.issuer, audience: `http://${host}` };
    const claims = await Promise.all(tokens.map((token) => tenantKeys.verify(token, expected)));
    const oids = claims.map((each) => each?.oid);
    assert.deepEqual(oids.toSorted(), [objectIdOf(own), objectIdOf(given)].toSorted());
    for (const each of claims) assert.equal(Number(each?.exp) - Number(each?.iat), 300);
    for (const resource of ['resourceManager', 'graph', 'registry'] as const)
      assert.equal(await tenantTokens.readAccess(tokens[0] ?? '', resource, 1), undefined);
    assert.deepEqual(accesses.map(({ kind, identity }) => `${kind} ${identity}`).toSorted(), [
      ...[own, given].map((uid) => `signIn ${uid}`).toSorted(),
    ]);
  });

  test('five are read at once, and all have their places', async () => {
    most = 0;
    const names = Array.from({ length: 12 }, (_each, at) => `s${at}`);
    const answer = await read(both, ...names.map((name) => secret(name)));
    assert('values' in answer);
    assert.deepEqual(
      answer.values.map(({ value }) => value),
      names.map((name) => `value of ${name}`),
    );
    assert(most <= 5, `${most} at once`);
  });

  for (const [what, access, more, reason] of [
    [
      'of no task',
      undefined,
      {},
      /identities of tasks read key vaults, and this run is of none\. .*--set-secret npm=… /,
    ],
    [
      'of other files',
      { kind: 'none', reason: 'otherFiles' },
      {},
      /the files of this run are others than its task names/,
    ],
    ['of a stranger', { kind: 'none', reason: 'stranger' }, {}, /a pull request from a fork is lent no identity/],
    ['without an identity', lent(), {}, /the task has no system-assigned identity/],
    [
      'without that identity',
      lent({ principalUid: own }),
      { clientId },
      /the task has no identity with the client id 0a000000-/,
    ],
    [
      'whose identity is gone',
      lent({ principalUid: ids.uid() }),
      {},
      /the identity of the task that reads it is gone or disabled/,
    ],
  ] as const)
    test(`a run ${what} has no secret of a vault, which is not asked`, async () => {
      const answer = await read(access, secret('npm', more));
      assert('refusal' in answer);
      assert.match(answer.refusal, /^the secret 'npm' of the key vault 127\.0\.0\.1:\d+ cannot be read: /);
      assert.match(answer.refusal, reason);
      assert.deepEqual(tokens, []);
    });

  test('a run of a task that was queued by a release that lent none to it says so', async () => {
    const answer = await readIn({ task: { uid: taskUid, name: 'publish' } }, secret('npm'));
    assert('refusal' in answer);
    assert.match(answer.refusal, /was queued before .* run the task again/);
  });

  test('an identity that was taken from its task since, or whose task is gone, reads nothing more', async () => {
    const npm = secret('npm', { clientId });
    const refused = async (run: Partial<NewRun>) => {
      const answer = await readIn(run, npm);
      assert('refusal' in answer);
      assert.match(answer.refusal, /the task has that identity no longer, or is gone/);
      assert.deepEqual(tokens, []);
    };
    const older = { vaultAccess: { kind: 'identities', identities: [{ clientId, principalUid: given }] } } as const;
    const ofTask = { ...older, task: { uid: taskUid, name: 'publish' } };
    assert('values' in (await readIn(ofTask, npm)));
    await refused(older);
    await write((tx) => updateResource(tx, { ...task, identity: { principalId: objectIdOf(own) } }));
    await refused({ vaultAccess: both });
    await refused(ofTask);
    assert('values' in (await read(both, secret('npm'))));
    await write((tx) => updateResource(tx, task));
    assert('values' in (await read(both, npm)));
    await write((tx) => deleteResource(tx, taskUid));
    await refused({ vaultAccess: both });
    await write((tx) => insertResource(tx, task));
  });

  test('one that cannot be read leaves the run without all', async () => {
    const elsewhere = { keyvault: 'http://10.0.0.1/secrets/npm' };
    assert.partialDeepStrictEqual(Object.keys(await read(both, secret('pip'), secret('npm', elsewhere))), ['refusal']);
  });
});
