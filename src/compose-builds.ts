import { hkdfSync } from 'node:crypto';
import { loginServerOf } from './addresses.ts';
import type { RunActionParts } from './api/arm/run-actions.ts';
import type { Features } from './compose-features.ts';
import { AgentTokens } from './features/builds/agent-tokens.ts';
import { BlobAddresses } from './features/builds/blob-addresses.ts';
import { buildJobs } from './features/builds/build-jobs.ts';
import { createRunBuiltIn } from './features/builds/built-in-command.ts';
import { cacheExpiryJob } from './features/builds/cache-expiry.ts';
import { Contexts } from './features/builds/contexts.ts';
import { LogFollowers } from './features/builds/log-followers.ts';
import { QueueWatch } from './features/builds/queue-watch.ts';
import { RunLeases } from './features/builds/run-leases.ts';
import { RunLogs } from './features/builds/run-logs.ts';
import type { MeasureRun } from './features/builds/run-measures.ts';
import { createComposeOrder } from './features/builds/run-order.ts';
import { Runs } from './features/builds/runs.ts';
import { createReadVaultSecrets } from './features/builds/vault-secrets.ts';
import type { Data } from './open-data.ts';
import type { Certificates } from './platform/certificates/certificates.ts';
import type { JobKind, Jobs } from './platform/jobs/jobs.ts';
import type { Settings } from './settings.ts';

export type Builds = ReturnType<typeof composeBuilds>;

type BuildSurroundings = {
  readonly jobs: Jobs;
  readonly certificates: Pick<Certificates, 'caPem'>;
  readonly measure: MeasureRun;
};

const mebibyte = 1024 * 1024;

/** Runs of builds and tasks, what they are given and print, and the agents that do them. */
export function composeBuilds(
  settings: Settings,
  data: Data,
  features: Features,
  { jobs, certificates, measure }: BuildSurroundings,
) {
  const { tenantUid, region } = data.installation;
  const { directory, runTokens } = features;
  const parts = { ...data, tenantUid, region, jobs, measure };
  const contexts = new Contexts({ ...parts, maxBytes: settings.buildContextLimit });
  const logs = new RunLogs(parts);
  const readVaultSecrets = createReadVaultSecrets({ ...parts, tenantTokens: features.tenantTokens });
  const composeOrder = createComposeOrder({
    ...parts,
    directory,
    runTokens,
    readVaultSecrets,
    registryUrlOf: ({ loginServer }) => `${schemeOf(settings)}://${loginServer}`,
    caCertificate: async () => certificates.caPem,
    hasNetwork: settings.buildNetwork,
    aliasImages: settings.buildAliases,
    limits: {
      memoryMiB: Math.ceil(settings.buildMemory / mebibyte),
      diskMiB: Math.ceil(settings.buildDisk / mebibyte),
      processes: settings.buildProcesses,
      logBytes: settings.buildLogLimit,
    },
  });
  const retentionMs = settings.runRetention;
  const jobKinds: readonly JobKind[] = [
    ...buildJobs({ ...parts, contexts, logs, runTokens, retentionMs }),
    cacheExpiryJob({ ...parts, ...features, cacheRetentionMs: settings.buildCacheRetention }),
  ];
  const blobOriginOf: RunActionParts['builds']['blobOriginOf'] = ({ uid, name }) => {
    const loginServer = directory.byUid(uid)?.loginServer ?? loginServerOf(settings, name);
    return `${schemeOf(settings)}://${loginServer.replace('.', '.blob.')}`;
  };
  const leases = new RunLeases({ ...parts, composeOrder, maxLogBytes: mostLogBytes(settings) });
  return {
    runs: new Runs({ ...parts, maxQueued: settings.buildQueueLimit }),
    leases,
    logFollowers: new LogFollowers({ ...parts, leases }),
    agentTokens: new AgentTokens(parts),
    addresses: new BlobAddresses({ ...parts, key: addressKey(data) }),
    queue: new QueueWatch(parts),
    runBuiltIn: createRunBuiltIn({ ...parts, ...features }),
    readVaultSecrets,
    contexts,
    logs,
    blobOriginOf,
    aliasImages: settings.buildAliases,
    jobKinds,
  };
}

/**
 * Agents keep to the limit, and go on to say how the run ends: so all that they send is kept. That is in two attempts what
 * programs print and 1 MiB of their own, where every line may be nothing but its end, which takes two bytes here instead of one.
 */
function mostLogBytes({ buildLogLimit }: Settings): number {
  return 2 * 2 * (buildLogLimit + mebibyte);
}

/** Of the addresses that clients are given. */
function schemeOf({ https, trustedProxies }: Settings): 'http' | 'https' {
  return https === undefined && trustedProxies.length === 0 ? 'http' : 'https';
}

/** The same in every process of the installation. */
function addressKey({ masterKeys: [{ bytes }] }: Data): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', bytes, '', 'berth blob addresses', 32));
}
