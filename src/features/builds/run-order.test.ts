import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import { systemClock } from '../../platform/system-clock.ts';
import type { AgentCall } from './agent-call.ts';
import { sharedPool } from './agent-tokens.ts';
import type { CustomRegistry } from './run.ts';
import { createComposeOrder, reasonOf } from './run-order.ts';
import type { RunRow } from './run-store.ts';
import type { ReadVaultSecrets } from './vault-secrets.ts';

const from: AgentCall = { address: '192.0.2.1', correlationId: 'sample', userAgent: undefined };
const at = (id: string) => ({ id, keyvault: `https://team.vault.example/secrets/${id}` });

forEachDatabase((_, open) => {
  let builds: SampleBuilds;
  let row: RunRow;
  before(async () => {
    builds = await sampleBuilds(await open());
    await builds.runs.schedule(builds.newRun());
    const { lease } = (await builds.take()) ?? assert.fail('a run waits');
    row = await builds.leases.held(lease);
  });
  after(() => builds.close());

  /** The order of a run with those registries; time is over at once where `isLate`. */
  const orderOf = async (registries: readonly CustomRegistry[], readVaultSecrets: ReadVaultSecrets, isLate = false) => {
    const { here, newRun } = builds;
    const compose = createComposeOrder({
      ...{ directory: here.directory, runTokens: here.runTokens, readVaultSecrets, hasNetwork: true },
      clock: { ...systemClock, ...(isLate ? { sleep: async () => {} } : {}) },
      limits: { memoryMiB: 1, diskMiB: 1, processes: 1, logBytes: 1 },
      registryUrlOf: () => 'https://registry.example',
      caCertificate: async () => undefined,
    });
    const { work, source } = newRun();
    const sealed = { work, source, authority: { kind: 'none' as const }, customRegistries: [...registries] };
    const terms = { hasNetwork: true, limits: { cpus: 1, memoryMiB: 1 } };
    const { order } = await compose(row, sealed, { lease: 'lease', leaseSeconds: 30, pool: sharedPool, terms, from });
    return order;
  };

  test('what a key vault keeps of credentials is in the order, in its place, and passwords are hidden', async () => {
    const asked: string[] = [];
    const order = await orderOf(
      [
        { server: 'a.example', vault: { username: at('a-user'), password: at('a-word') } },
        { server: 'b.example', username: 'bob', password: 'b password' },
        { server: 'c.example', username: 'carla', vault: { password: at('c-word') } },
      ],
      async ({ run, secrets }) => {
        asked.push(run.run_id, ...secrets.map(({ id }) => id));
        return { values: secrets.map(({ id }) => ({ id, value: `value of ${id}` })), masked: [] };
      },
    );
    assert.deepEqual(asked, [row.run_id, 'a-user', 'a-word', 'c-word']);
    assert.deepEqual(order.credentials, [
      { server: 'a.example', username: 'value of a-user', password: 'value of a-word' },
      { server: 'b.example', username: 'bob', password: 'b password' },
      { server: 'c.example', username: 'carla', password: 'value of c-word' },
    ]);
    for (const text of ['value of a-word', 'value of c-word', 'b password']) assert(order.masked.includes(text), text);
  });

  test('without secrets of key vaults none is asked', async () => {
    const { credentials } = await orderOf([{ server: 'b.example', username: 'bob', password: 'b' }], () =>
      assert.fail('there is nothing to ask for'),
    );
    assert.equal(credentials.length, 1);
  });

  test('a run whose vault gives nothing is not handed out, and says why', async () => {
    const registries = [{ server: 'a.example', username: 'bob', vault: { password: at('word') } }];
    const refused = orderOf(registries, async () => ({ refusal: 'the vault is shut' }));
    await assert.rejects(refused, (error) => /all credentials .*: the vault is shut/.test(reasonOf(error)));
  });

  test('what vaults keep is no more, and no longer, than what is given itself', async () => {
    const many = Array.from({ length: 26 }, (_each, index) => ({
      ...{ server: `r${index}.example`, vault: { username: at(`u${index}`), password: at(`p${index}`) } },
    }));
    const unasked = orderOf(many, () => assert.fail('it is too much'));
    await assert.rejects(unasked, (error) => /52 secrets of key vaults, .* at most 50/.test(reasonOf(error)));
    const long = orderOf([{ server: 'a.example', username: 'bob', vault: { password: at('word') } }], async () => ({
      ...{ values: [{ id: 'word', value: 'x'.repeat(8_001) }], masked: [] },
    }));
    await assert.rejects(long, (error) => /the secret 'word' has more than 8000 letters/.test(reasonOf(error)));
  });

  test('what is hidden of secrets of vaults is hidden of credentials too', async () => {
    const key = JSON.stringify({ private_key: 'of a service account' });
    const { masked } = await orderOf(
      [{ server: 'a.example', username: '_json_key', password: key, vault: { username: at('user') } }],
      async () => ({ values: [{ id: 'user', value: 'a user' }], masked: ['a user'] }),
    );
    for (const text of ['of a service account', 'a user', key]) assert(masked.includes(text), text);
  });

  test('vaults that are slow together are waited for no longer than half a lease', async () => {
    const registries = [{ server: 'a.example', username: 'bob', vault: { password: at('word') } }];
    const slow: ReadVaultSecrets = async ({ signal }) => {
      if (!signal.aborted) await once(signal, 'abort');
      return { refusal: 'it was stopped' };
    };
    const refused = orderOf(registries, slow, true);
    await assert.rejects(refused, (error) => /key vaults took longer than 15 s$/.test(reasonOf(error)));
  });
});
