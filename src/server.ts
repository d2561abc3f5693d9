import { flushCompileCache } from 'node:module';
import { loginServerOf, loginServerSchemeOf, ownIpAddresses, ownNames } from './addresses.ts';
import { type Arm, createArm } from './api/arm/create-arm.ts';
import { type Part, registryHostOf } from './api/middleware/host-name.ts';
import { type Metrics, summedMetrics } from './api/middleware/metrics.ts';
import { composeApp, transferOf } from './compose-app.ts';
import { type Builds, composeBuilds } from './compose-builds.ts';
import { composeBuiltInAgent } from './compose-built-in-agent.ts';
import { composeFeatures, type Features } from './compose-features.ts';
import { auditArchiveJobs, composeDiagnostics, openAuditArchive, openMetrics } from './compose-insight.ts';
import { composeTasks, type Tasks } from './compose-tasks.ts';
import { unfinishedTemplatesJob } from './features/content/unfinished-templates.ts';
import { upkeepJobs } from './features/content/upkeep.ts';
import { showAdminCredentials } from './features/identity/admin-account.ts';
import type { Diagnostics } from './features/insight/diagnostics.ts';
import { endedStreamsJob } from './features/insight/ended-streams.ts';
import { insightWork } from './features/insight/insight-work.ts';
import { RegistryMetrics } from './features/insight/registry-metrics.ts';
import { sampledPulls } from './features/insight/sampled-pulls.ts';
import { retentionJobs } from './features/retention/retention-jobs.ts';
import { unfinishedDeletionsJob } from './features/retention/unfinished-deletions.ts';
import { throttlingJob } from './features/throttling/throttling-job.ts';
import { Webhooks } from './features/webhooks/webhooks.ts';
import { finishBootstrap } from './finish-bootstrap.ts';
import { defaultRegistryName } from './installation.ts';
import { listen, listenForIdentities, refuseToHide } from './listen.ts';
import { type Data, openData } from './open-data.ts';
import { Inventory } from './operate/rebuild/inventory.ts';
import { type Certificates, createCertificates } from './platform/certificates/certificates.ts';
import { createJobs } from './platform/jobs/create-jobs.ts';
import type { Jobs } from './platform/jobs/jobs.ts';
import { createLineSink, type LineSink } from './platform/line-sink.ts';
import { createLog, type Log } from './platform/log.ts';
import { checkRuntime, guardProcess } from './platform/process.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import { startWorkers } from './process-primary.ts';
import { processRole, WorkerLink } from './process-worker.ts';
import { readyMessage } from './ready-message.ts';
import type { Settings } from './settings.ts';

/** Receivers that are called at the same time; each may take its time. */
const deliveriesAtOnce = 256;
const endpointsAtOnce = 64;

/** Who runs the server, for the lines people read. */
export type Program = {
  readonly version: string;
  /** How a person starts a command of this installation: `bin/berth`. */
  readonly command: string;
  readonly print: (text: string) => void;
  /** How this process was started, without what it was told to do: to start others like it. */
  readonly words: readonly [string, ...string[]];
  /** Armed by tests: `FAILPOINT`. */
  readonly failpoints: string | undefined;
};

/**
 * Runs the server until SIGTERM or SIGINT, then finishes what is in flight. Whatever was opened is closed in reverse order,
 * also when a later step fails. Throws DataFolderInUse, SettingsError, and whatever else keeps the server from starting.
 */
export async function serve(settings: Settings, program: Program): Promise<void> {
  checkRuntime(process.versions);
  refuseToHide(settings);
  const sink = createLineSink(process.stderr);
  const log = openLog(settings, sink);
  guardProcess(log);
  const stopped = stopSignal();
  await using opened = new AsyncDisposableStack();
  const role = processRole(settings.workers);
  const link = role === 'worker' ? new WorkerLink() : undefined;
  opened.defer(() => link?.close());

  const kept = await openData(settings, { log, opened, role, link, failpoints: program.failpoints });
  // All that is imported is there now: what was compiled of it is kept for the next start and for workers, and no longer held in memory.
  flushCompileCache();
  const data = { ...kept, accessLog: sampledPulls(kept.accessLog, settings.auditPulls) };
  const features = await composeFeatures(settings, data);
  opened.defer(() => features.lastPulls.close());
  const { directory } = features;
  // The data folder is ours alone, so nobody is at work on an upload that a killed server held.
  if (settings.database === undefined && role !== 'worker') await features.uploads.releaseAll();
  const certificates = await createCertificates({
    folder: data.folder.certificates,
    own: settings.tlsCertificates,
    addresses: ownIpAddresses(settings),
    isOurName: async (name) =>
      ownNames(settings).includes(name) ||
      (await directory.lookUp(registryHostOf(name, settings.domain))) !== undefined,
    clock,
    ids,
    log,
  });
  opened.defer(() => certificates.close());

  // Before anybody is answered: whoever sees the server ready finds the file.
  const bootstrap =
    role === 'worker'
      ? undefined
      : await finishBootstrap({
          settings,
          ...data,
          caPath: certificates.caPath,
          registry: await showAdminCredentials(data, data.database.read, defaultRegistryUid(features)),
        });

  const registryMetrics = new RegistryMetrics({ ...settings, ...data, registries: features.directory.oldestFirst });
  opened.defer(() => registryMetrics.close());
  const { metrics, answered } = openMetrics(data, registryMetrics, sink);
  const state = { isStopping: false };
  if (role === 'primary') opened.use(await startWorkers({ count: settings.workers, clock, log }));
  else
    await answer(settings, data, features, {
      certificates,
      metrics: shared(metrics, link),
      answered,
      registryMetrics,
      state,
      opened,
    });
  if (link === undefined) {
    log.info('ready', {
      version: program.version,
      http: settings.http,
      https: settings.https,
      domain: settings.domain,
    });
    program.print(readyMessage({ settings, program, bootstrap, caPath: certificates.caPath }));
  } else link.tellReady();
  if (role !== 'worker') opened.use(await composeBuiltInAgent(settings, data, certificates, program.words));

  log.info('stopping', { signal: await stopped });
  state.isStopping = true;
}

type Answering = {
  readonly certificates: Certificates;
  readonly metrics: Metrics;
  /** Requests so far. */
  readonly answered: () => number;
  readonly registryMetrics: RegistryMetrics;
  readonly state: { readonly isStopping: boolean };
  readonly opened: AsyncDisposableStack;
};

/** Background work and listeners. */
async function answer(settings: Settings, data: Data, features: Features, answering: Answering): Promise<void> {
  const { certificates, metrics, answered, registryMetrics, state, opened } = answering;
  const { directory } = features;
  const { log } = data;
  const jobs = createJobs({ database: data.database, clock, ids, log });
  const builds = composeBuilds(settings, data, features, {
    jobs,
    certificates,
    measure: registryMetrics.add,
  });
  const tasks = composeTasks(settings, data, features, { ...builds, jobs });
  const arm = composeArm(settings, data, features, { jobs, builds });
  const insight = insightWork({ ...data, ...data.installation });
  const auditArchive = await openAuditArchive(settings, data, opened);
  const diagnostics = await composeDiagnostics(settings, data, features, { jobs, opened });
  jobs.start([
    ...upkeepJobs({ ...data, ...upkeepTimes(settings) }),
    ...retentionJobs({
      ...data,
      deletions: features.deletions,
      change: features.deletedExpiry.change,
      removalGuard: features.removalGuard,
      lifecycles: features.lifecycles,
      region: data.installation.region,
      collectEveryMs: settings.gcInterval,
      scrubBytesPerSecond: settings.scrubRate,
      scrubEveryMs: settings.scrubInterval,
    }),
    unfinishedDeletionsJob({ ...data, deletions: features.deletions }),
    unfinishedTemplatesJob(features.repositoryTemplates),
    throttlingJob(data),
    new Inventory({ ...data, ...data.installation }).jobKind(),
    ...arm.jobKinds,
    ...builds.jobKinds,
    ...tasks.jobKinds,
    ...insight.jobKinds,
    endedStreamsJob(data),
    diagnostics.planKind(),
    ...auditArchiveJobs(settings, data, auditArchive),
  ]);
  opened.defer(() => jobs.stop());
  followUntilClosed(insight.follow, opened);
  startTasks(tasks, data, opened);
  startWebhooks(new Webhooks({ ...data, directory, jobs, answered }), diagnostics, data, opened);
  const appOf = (part?: Part) =>
    composeApp(
      settings,
      data,
      { ...features, arm, builds, tasks, measure: registryMetrics.add, auditArchive },
      metrics,
      () => state.isStopping,
      part,
    );
  opened.use(await listenForIdentities(settings, data, features, metrics));
  opened.use(await listen(settings, appOf, metrics, certificates));
  // First of all: agents wait for work in requests of their own, and followers for logs, which then end.
  opened.defer(() => builds.queue.close());
  opened.defer(() => builds.logFollowers.close());
}

/** The metrics of all workers, whichever of them is asked. */
function shared(metrics: Metrics, link: WorkerLink | undefined): Metrics {
  if (link === undefined) return metrics;
  link.shareMetrics(metrics.list);
  return { ...metrics, render: async () => await summedMetrics(await link.allMetrics()) };
}

/** Receivers have a runner of their own: the slow ones among them keep no other work waiting. */
function startWebhooks(
  webhooks: Webhooks,
  diagnostics: Diagnostics,
  { database, log }: Data,
  opened: AsyncDisposableStack,
): void {
  const deliveries = createJobs({ database, clock, ids, log, concurrency: deliveriesAtOnce });
  deliveries.start([...webhooks.jobKinds(), diagnostics.sendKind()]);
  opened.defer(() => deliveries.stop());
  followUntilClosed((signal) => webhooks.follow(signal), opened);
}

/** Other hosts are waited for in a runner of their own, and endpoints of tasks in another: deaf ones keep no look at a host waiting. */
function startTasks(tasks: Tasks, { database, log }: Data, opened: AsyncDisposableStack): void {
  const calls = createJobs({ database, clock, ids, log });
  calls.start(tasks.callingKinds);
  opened.defer(() => calls.stop());
  const endpoints = createJobs({ database, clock, ids, log, concurrency: endpointsAtOnce });
  endpoints.start(tasks.endpointKinds);
  opened.defer(() => endpoints.stop());
  followUntilClosed(tasks.follow, opened);
}

function followUntilClosed(follow: (signal: AbortSignal) => Promise<void>, opened: AsyncDisposableStack): void {
  const stop = new AbortController();
  const following = follow(stop.signal);
  opened.defer(async () => {
    stop.abort();
    await following;
  });
}

/** The control plane; its types reach over several features. */
function composeArm(
  settings: Settings,
  data: Data,
  features: Features,
  { jobs, builds }: { readonly jobs: Jobs; readonly builds: Builds },
): Arm {
  return createArm({
    ...data,
    ...features,
    ...data.installation,
    jobs,
    builds,
    domain: settings.domain,
    loginServerOf: (label) => loginServerOf(settings, label),
    loginServerScheme: loginServerSchemeOf(settings),
    defaultRegistryName,
    locationNames: settings.locations,
    logDestinations: settings.logDestinations.map(({ name }) => name),
    transfer: transferOf(settings),
  });
}

function openLog({ logFormat, logLevel }: Settings, sink: LineSink): Log {
  const format = logFormat === 'auto' ? (process.stderr.isTTY ? 'pretty' : 'json') : logFormat;
  return createLog({ sink, format, level: logLevel });
}

function defaultRegistryUid({ directory }: Features): string {
  const registry = directory.defaultRegistry();
  if (registry === undefined) throw new Error(`the default registry ${defaultRegistryName} is missing`);
  return registry.uid;
}

function upkeepTimes({ uploadIdleExpiry, blobGrace }: Settings) {
  return {
    // An upload may be closed long after its last chunk: its bytes are older than their blob.
    orphanGraceMs: Math.max(blobGrace, uploadIdleExpiry),
    expiryEveryMs: Math.max(1_000, Math.min(600_000, uploadIdleExpiry / 4)),
    sweepEveryMs: Math.max(1_000, Math.min(3_600_000, blobGrace / 4)),
  };
}

/** The same signal once more ends the process at once. */
async function stopSignal(): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => resolve(signal));
    }
  });
}
