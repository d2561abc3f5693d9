import assert from 'node:assert/strict';
import { z } from 'zod';
import { AgentTokens, sharedPool } from '../../src/features/builds/agent-tokens.ts';
import { BlobAddresses } from '../../src/features/builds/blob-addresses.ts';
import { buildJobs } from '../../src/features/builds/build-jobs.ts';
import { Contexts } from '../../src/features/builds/contexts.ts';
import type { NewRun } from '../../src/features/builds/run.ts';
import { RunLeases } from '../../src/features/builds/run-leases.ts';
import { RunLogs } from '../../src/features/builds/run-logs.ts';
import { createComposeOrder } from '../../src/features/builds/run-order.ts';
import { Runs } from '../../src/features/builds/runs.ts';
import { agentPoolType, validateAgentPool } from '../../src/features/builds/tasks/agent-pool.ts';
import { childName } from '../../src/features/resources/resource-names.ts';
import { findByUid } from '../../src/features/resources/resource-store.ts';
import { Resources } from '../../src/features/resources/resources.ts';
import { createFolderStore } from '../../src/platform/blob-store/folder-store.ts';
import type { Database } from '../../src/platform/database/database.ts';
import { HeldClock } from '../../src/platform/held-clock.ts';
import { createJobs } from '../../src/platform/jobs/create-jobs.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import { type JsonObject, mergeJson } from '../../src/wire/arm/json.ts';
import type { LeaseRequest } from '../../src/wire/builds/agent-protocol.ts';
import { type SampleAccess, sampleAccess, sampleProcess } from './sample-access.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type SampleBuilds = Awaited<ReturnType<typeof sampleBuilds>>;

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const readVaultSecrets = () => assert.fail('no key vault is asked here');
/** Of one registry. */
export const maxQueued = 150;
const limits = { memoryMiB: 512, diskMiB: 1024, processes: 100, logBytes: 4_096 };

type SampleRegistries = Pick<SampleAccess, 'tenantUid' | 'registryUid' | 'otherUid'>;

/**
 * For tests: the two sample registries with everything that runs need, on an empty database unless they are `given`. Time
 * stands still.
 */
export async function sampleBuilds(database: Database, given?: SampleRegistries) {
  const sample = given ?? (await sampleAccess(database));
  const held = new HeldClock();
  const here = await sampleProcess(database, sample.tenantUid, held);
  const folder = temporaryFolder('builds');
  const clock = { ...systemClock, nowMicros: held.nowMicros };
  const store = createFolderStore({ folder: folder.path, ids, failpoint: async () => {} });
  const jobs = createJobs({ database, clock: systemClock, ids, log, pollMs: 10 });
  const { journal, directory, runTokens, account } = here;
  const measured: { readonly metric: string; readonly value: number }[] = [];
  const parts = {
    ...{ database, journal, clock, ids, jobs, log, store },
    sealer: account.sealer,
    region: 'here',
    tenantUid: sample.tenantUid,
    measure: (_registryUid: string, metric: string, value: number) => void measured.push({ metric, value }),
  };
  const { uid: ownerUid } = await database.read
    .selectFrom('principals')
    .where('is_owner', '=', 1)
    .select('uid')
    .executeTakeFirstOrThrow();
  const contexts = new Contexts({ ...parts, maxBytes: 1_000 });
  const logs = new RunLogs(parts);
  const composeOrder = createComposeOrder({
    ...{ directory, runTokens, readVaultSecrets, clock, limits, hasNetwork: true },
    registryUrlOf: ({ loginServer }) => `https://${loginServer}`,
    caCertificate: async () => undefined,
  });
  const leases = new RunLeases({ ...parts, composeOrder, maxLogBytes: limits.logBytes });
  const kinds = buildJobs({ ...parts, contexts, logs, runTokens, retentionMs: 1_000 });
  const newRun = (more: Partial<NewRun> = {}): NewRun => ({
    registryUid: sample.registryUid,
    runType: 'QuickRun',
    work: { kind: 'encodedTask', content: 'steps:\n - cmd: bash true', values: [] },
    source: { kind: 'none' },
    platforms: [{ os: 'linux', architecture: 'amd64' }],
    timeoutSeconds: 600,
    cpus: 2,
    authority: { kind: 'principal', principalId: ownerUid, principalType: 'User' },
    customRegistries: [],
    isArchiveEnabled: false,
    trigger: { kind: 'manual' },
    ...more,
  });
  const addresses = new BlobAddresses({ key: Buffer.alloc(32, 9), clock, ids });
  return {
    ...sample,
    ...{ addresses, jobs, here, held, store, contexts, logs, leases, ownerUid, newRun, journal, measured, log },
    runs: new Runs({ ...parts, maxQueued }),
    agentTokens: new AgentTokens(parts),
    take: (agent = 'agent-1', pool = sharedPool, more: Partial<LeaseRequest> = {}) =>
      leases.take(
        pool,
        {
          ...more,
          agent,
          executor: 'none',
          isolation: 'none',
          platforms: [{ os: 'linux', architecture: 'amd64' }],
        },
        { address: '192.0.2.1', correlationId: 'sample', userAgent: undefined },
      ),
    /** Makes an agent pool of the first registry, or changes it. */
    writePool: async (name: string, properties: JsonObject) => {
      const registry = await findByUid(database.read, sample.registryUid);
      if (registry === undefined) throw new Error('the sample has this registry');
      await new Resources(parts).write({
        type: {
          ...{ type: agentPoolType, level: 'child', hasLocation: true, checkName: () => {} },
          validate: validateAgentPool,
        },
        name: childName(registry, agentPoolType, name),
        author: { uid: ownerUid, name: 'Olivia', kind: 'User' },
        desire: (existing) => ({
          ...{ location: 'local', tags: {}, sku: undefined, identity: undefined },
          properties: mergeJson(existing?.properties ?? {}, properties),
        }),
      });
    },
    /** Runs a job of builds now, as its runner would. */
    runJob: async (kind: string) => {
      const { run } = kinds.find((each) => each.kind === kind) ?? {};
      const job = { attempt: 1, signal: new AbortController().signal, renew: async () => {} };
      if (run === undefined) throw new Error(`there is no job ${kind}`);
      const waiting = await database.read
        .selectFrom('jobs')
        .where('kind', '=', kind)
        .where('state', '=', 'waiting')
        .select(['uid', 'payload'])
        .execute();
      if (waiting.length === 0) await run({ ...job, payload: {} });
      for (const { uid, payload } of waiting) {
        await run({ ...job, payload: z.record(z.string(), z.unknown()).parse(JSON.parse(payload)) });
        await database.transaction(async (tx) => {
          await tx.deleteFrom('jobs').where('uid', '=', uid).execute();
        });
      }
    },
    /** As if the agents that hold runs had said nothing for long. */
    loseAgents: async () => {
      await database.transaction(async (tx) => {
        await tx.updateTable('runs').set({ lease_until: 1 }).where('lease_verifier', 'is not', null).execute();
      });
    },
    logText: async (runId: string, range?: { readonly start: number; readonly end: number }) => {
      const found = await logs.find(sample.registryUid, runId);
      if (found === undefined) return undefined;
      const chunks: Uint8Array[] = [];
      for await (const chunk of logs.read(found, range ?? { start: 0, end: found.sizeBytes }))
        chunks.push(new Uint8Array(chunk));
      return Buffer.concat(chunks).toString();
    },
    close: async () => {
      await here.close();
      folder.remove();
    },
  };
}
