import { hkdfSync } from 'node:crypto';
import { Hono } from 'hono';
import { loginServerOf, ownIpAddresses, ownNames } from './addresses.ts';
import { acrRoutes } from './api/acr/acr-routes.ts';
import { accessRoutes } from './api/admin/access-routes.ts';
import { adminRoutes } from './api/admin/admin-routes.ts';
import { identityBindingRoutes } from './api/admin/identity-binding-routes.ts';
import { purgeRoutes } from './api/admin/purge-routes.ts';
import { retentionRoutes } from './api/admin/retention-routes.ts';
import { type Arm, createArm } from './api/arm/create-arm.ts';
import { asOfRoutes } from './api/events/as-of-routes.ts';
import { auditRoutes } from './api/events/audit-routes.ts';
import { liveRoutes } from './api/events/live-routes.ts';
import { graphRoutes } from './api/graph/graph-routes.ts';
import { identityEndpoint } from './api/identity/identity-endpoint.ts';
import { loginRoutes } from './api/login/login-routes.ts';
import { answerWith } from './api/middleware/answer.ts';
import type { Env } from './api/middleware/env.ts';
import { exchange } from './api/middleware/exchange.ts';
import { healthRoutes, metricsApp } from './api/middleware/health-routes.ts';
import type { Part } from './api/middleware/host-name.ts';
import { type HttpServers, type Listener, startHttpServers } from './api/middleware/http-servers.ts';
import { createMetrics, type Metrics, summedMetrics } from './api/middleware/metrics.ts';
import { renderFailure, renderNotFound } from './api/middleware/render-failure.ts';
import { statusPage } from './api/middleware/status-page.ts';
import { ociRoutes } from './api/oci/oci-routes.ts';
import { tokenRoutes } from './api/token/token-routes.ts';
import { DataFolder } from './data-folder.ts';
import { createAuthorize } from './features/access/authorize.ts';
import { Callers } from './features/access/callers.ts';
import { createExplain } from './features/access/explain.ts';
import { RegistryTokens } from './features/access/registry-tokens.ts';
import { createRightsSource } from './features/access/rights-source.ts';
import { createExchangeToken } from './features/access/token-exchange.ts';
import { createIssueTokens } from './features/access/token-service.ts';
import { AttributeChanges } from './features/content/attribute-changes.ts';
import { createAuthorizedChange } from './features/content/authorized-change.ts';
import { Blobs } from './features/content/blobs.ts';
import { Deletions } from './features/content/deletions.ts';
import { Listings } from './features/content/listings.ts';
import { Manifests } from './features/content/manifests.ts';
import { Metadata } from './features/content/metadata.ts';
import { upkeepJobs } from './features/content/upkeep.ts';
import { UploadTickets } from './features/content/upload-tickets.ts';
import { Uploads } from './features/content/uploads.ts';
import { UsageReports } from './features/content/usage-reports.ts';
import { showAdminCredentials } from './features/identity/admin-account.ts';
import { AuthorizationCodes } from './features/identity/authorization-codes.ts';
import { ClientAssertions } from './features/identity/client-assertions.ts';
import { createFindClient } from './features/identity/clients.ts';
import { DeviceCodes } from './features/identity/device-codes.ts';
import { IdentityBindings } from './features/identity/identity-bindings.ts';
import { createMachineSignIn } from './features/identity/machine-sign-in.ts';
import { OutsideAccounts } from './features/identity/outside-accounts.ts';
import { OutsideIssuers } from './features/identity/outside-issuers.ts';
import { OutsideProvider } from './features/identity/outside-provider.ts';
import { OutsideSignIn } from './features/identity/outside-sign-in.ts';
import { createSignIn, type SignIn } from './features/identity/sign-in.ts';
import { SignInSessions } from './features/identity/sign-in-sessions.ts';
import { SigningKeys } from './features/identity/signing-keys.ts';
import { createTenantCaller } from './features/identity/tenant-caller.ts';
import { TenantDirectory } from './features/identity/tenant-directory.ts';
import { TenantTokens } from './features/identity/tenant-tokens.ts';
import { insightWork } from './features/insight/insight-work.ts';
import { openDirectory } from './features/registries/directory.ts';
import { createRegistries } from './features/registries/registries.ts';
import { DeletedListings } from './features/retention/deleted-listings.ts';
import { RemovalGuard } from './features/retention/removal-guard.ts';
import { Restores } from './features/retention/restores.ts';
import { retentionJobs } from './features/retention/retention-jobs.ts';
import { unfinishedDeletionsJob } from './features/retention/unfinished-deletions.ts';
import { Webhooks } from './features/webhooks/webhooks.ts';
import { finishBootstrap } from './finish-bootstrap.ts';
import { defaultRegistryName, openInstallation } from './installation.ts';
import { SettingsError } from './load-settings.ts';
import { openBlobStore } from './open-blob-store.ts';
import { createAccessLog } from './platform/access-log/create-access-log.ts';
import { claimStore } from './platform/blob-store/store-mark.ts';
import { type Certificates, createCertificates } from './platform/certificates/certificates.ts';
import { openPostgres } from './platform/database/postgres-database.ts';
import { openSqlite } from './platform/database/sqlite-database.ts';
import { createFailpoints } from './platform/failpoints.ts';
import { createJobs } from './platform/jobs/create-jobs.ts';
import type { Jobs } from './platform/jobs/jobs.ts';
import { createJournal } from './platform/journal/create-journal.ts';
import type { JournalWakes } from './platform/journal/journal-wakes.ts';
import { openPostgresWakes } from './platform/journal/postgres-wakes.ts';
import {
  type MasterKeys,
  parseMasterKeys,
  readMasterKeyFile,
  readOrCreateMasterKeyFile,
} from './platform/keys/master-keys.ts';
import { createPasswordHasher } from './platform/keys/password-hasher.ts';
import { createSealer } from './platform/keys/sealer.ts';
import { createLineSink, type LineSink } from './platform/line-sink.ts';
import { createLog, type Log } from './platform/log.ts';
import { createOutbound } from './platform/outbound/outbound.ts';
import { checkRuntime, guardProcess } from './platform/process.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import { diskFailedCode } from './process-messages.ts';
import { startWorkers } from './process-primary.ts';
import { type ProcessRole, processRole, WorkerLink } from './process-worker.ts';
import { readyMessage } from './ready-message.ts';
import { blockListOf, publicPortOf, type Settings } from './settings.ts';

const stopGraceMs = 30_000;
const postgresPoolSize = 16;
const tenantTokenSeconds = 3_600;
/** Receivers that are called at the same time; each may take its time. */
const deliveriesAtOnce = 256;

/** Who runs the server, for the lines people read. */
export type Program = {
  readonly version: string;
  /** How a person starts a command of this installation: `bin/berth`. */
  readonly command: string;
  readonly print: (text: string) => void;
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

  const data = await openData(settings, program, { log, opened, role, link });
  const features = await composeFeatures(settings, data);
  const { directory } = features;
  // The data folder is ours alone, so nobody is at work on an upload that a killed server held.
  if (settings.database === undefined && role !== 'worker') await features.uploads.releaseAll();
  const certificates = await createCertificates({
    folder: data.folder.certificates,
    own: settings.tlsCertificates,
    addresses: ownIpAddresses(settings),
    isOurName: async (name) => ownNames(settings).includes(name) || (await directory.lookUp(name)) !== undefined,
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

  const metrics = createMetrics({ droppedLogLines: () => sink.dropped() });
  const state = { isStopping: false };
  if (role === 'primary') opened.use(await startWorkers({ count: settings.workers, clock, log }));
  else await answer(settings, data, features, { certificates, metrics: shared(metrics, link), state, opened });
  if (link === undefined) {
    log.info('ready', {
      version: program.version,
      http: settings.http,
      https: settings.https,
      domain: settings.domain,
    });
    program.print(readyMessage({ settings, program, bootstrap, caPath: certificates.caPath }));
  } else link.tellReady();

  log.info('stopping', { signal: await stopped });
  state.isStopping = true;
}

type Answering = {
  readonly certificates: Certificates;
  readonly metrics: Metrics;
  readonly state: { readonly isStopping: boolean };
  readonly opened: AsyncDisposableStack;
};

/** Background work and listeners. */
async function answer(settings: Settings, data: Data, features: Features, answering: Answering): Promise<void> {
  const { certificates, metrics, state, opened } = answering;
  const { directory } = features;
  const { log } = data;
  const jobs = createJobs({ database: data.database, clock, ids, log });
  const arm = composeArm(settings, data, features, jobs);
  const insight = insightWork({ ...data, ...data.installation });
  jobs.start([
    ...upkeepJobs({ ...data, ...upkeepTimes(settings) }),
    ...retentionJobs({
      ...data,
      deletions: features.deletions,
      change: features.deletedExpiry.change,
      removalGuard: features.removalGuard,
      region: data.installation.region,
      collectEveryMs: settings.gcInterval,
      scrubBytesPerSecond: settings.scrubRate,
      scrubEveryMs: settings.scrubInterval,
    }),
    unfinishedDeletionsJob({ ...data, deletions: features.deletions }),
    ...arm.jobKinds,
    ...insight.jobKinds,
  ]);
  opened.defer(() => jobs.stop());
  followUntilClosed(insight.follow, opened);
  startWebhooks(new Webhooks({ ...data, directory, jobs }), data, opened);
  const appOf = (part?: Part) =>
    composeApp(settings, data, { ...features, arm }, metrics, () => state.isStopping, part);
  opened.use(await listenForIdentities(settings, data, features, metrics));
  opened.use(await listen(settings, appOf, metrics, certificates));
}

/** The metrics of all workers, whichever of them is asked. */
function shared(metrics: Metrics, link: WorkerLink | undefined): Metrics {
  if (link === undefined) return metrics;
  link.shareMetrics(metrics.list);
  return { ...metrics, render: async () => await summedMetrics(await link.allMetrics()) };
}

type Data = Awaited<ReturnType<typeof openData>>;
type Features = Awaited<ReturnType<typeof composeFeatures>>;

type Opening = {
  readonly log: Log;
  readonly opened: AsyncDisposableStack;
  readonly role: ProcessRole;
  readonly link: WorkerLink | undefined;
};

/** Everything that keeps something, and the installation it keeps. */
async function openData(settings: Settings, program: Program, { log, opened, role, link }: Opening) {
  const folder = new DataFolder(settings.data);
  folder.create();
  const lock = role === 'worker' ? undefined : folder.lock();
  opened.defer(() => lock?.release());
  const masterKeys = openMasterKeys(settings, folder);
  const sealer = createSealer(masterKeys, ids);
  const failpoint = createFailpoints(program.failpoints, clock);
  const database =
    settings.database === undefined
      ? await openSqlite({
          file: folder.database,
          clock,
          ids,
          log,
          ...sharingOf(role),
          onSyncFailed: () => endNow(role),
        })
      : await openPostgres({ url: settings.database, poolSize: postgresPoolSize, clock, ids });
  opened.defer(() => database.close());
  const { store, mark, links: blobLinks, close: closeStore } = openBlobStore(settings, { clock, ids, failpoint });
  opened.defer(closeStore);
  const journal = createJournal({ database, clock, ids, ...openWakes(settings, opened, link) });
  const accessLog = createAccessLog({ database, clock, ids, log });
  opened.defer(() => accessLog.close());
  const passwords = createPasswordHasher(ids);
  const outbound = createOutbound({ allow: settings.outboundAllow, hosts: settings.outboundHost, clock });
  opened.defer(() => outbound.close());
  const kept = {
    clock,
    ids,
    log,
    folder,
    masterKeys,
    sealer,
    failpoint,
    database,
    store,
    ...(blobLinks && { blobLinks }),
    journal,
    accessLog,
    passwords,
    outbound,
  };
  const installation = await openInstallation(kept);
  await claimStore(mark, installation.installation.tenantUid);
  return { ...kept, ...installation };
}

/** Workers leave the order of the file to the process that started them. */
function sharingOf(role: ProcessRole) {
  return { isFirst: role !== 'worker', isShared: role !== 'alone' };
}

/** Processes tell each other of new events: through PostgreSQL, or through the process that started them. */
function openWakes(
  { database }: Settings,
  opened: AsyncDisposableStack,
  link: WorkerLink | undefined,
): { readonly wakes?: JournalWakes } {
  if (database === undefined) return link === undefined ? {} : { wakes: link.wakes };
  const wakes = openPostgresWakes({ url: database, clock });
  opened.defer(() => wakes.close());
  return { wakes };
}

/** Receivers have a runner of their own: the slow ones among them keep no other work waiting. */
function startWebhooks(webhooks: Webhooks, { database, log }: Data, opened: AsyncDisposableStack): void {
  const deliveries = createJobs({ database, clock, ids, log, concurrency: deliveriesAtOnce });
  deliveries.start(webhooks.jobKinds());
  opened.defer(() => deliveries.stop());
  followUntilClosed((signal) => webhooks.follow(signal), opened);
}

function followUntilClosed(follow: (signal: AbortSignal) => Promise<void>, opened: AsyncDisposableStack): void {
  const stop = new AbortController();
  const following = follow(stop.signal);
  opened.defer(async () => {
    stop.abort();
    await following;
  });
}

/** What the product does, in the order of the import rule. */
async function composeFeatures(settings: Settings, data: Data) {
  const { tenantUid, region } = data.installation;
  const loginServer = (name: string) => loginServerOf(settings, name);
  const directory = await openDirectory({ ...data, tenantUid, loginServerOf: loginServer, defaultRegistryName });
  const registries = createRegistries({ ...data, directory, tenantUid });
  const keys = new SigningKeys({ ...data, tenantUid, purpose: 'registryToken' });
  const lifetimes = {
    accessTokenSeconds: settings.tokenLifetime / 1_000,
    refreshTokenSeconds: settings.refreshTokenLifetime / 1_000,
  };
  const tokens = new RegistryTokens({ keys, clock, ids, lifetimes, tenantId: data.installation.tenantId });
  const signIn = createSignIn({ ...data, tenantUid });
  const callers = new Callers({ ...data, directory, signIn, tokens });
  const { accessLog } = data;
  const rightsSource = createRightsSource(data);
  const authorize = createAuthorize({ callers, directory, rightsSource, accessLog });
  const tenant = composeTenant(settings, data, signIn);
  const issuing = { ...data, callers, directory, rightsSource, tokens, tenantTokens: tenant.tenantTokens };

  const content = {
    ...data,
    change: createAuthorizedChange(data.database, data.journal),
    graceMs: settings.blobGrace,
    region,
    storageLimits: {
      Basic: settings.storageLimitBasic,
      Standard: settings.storageLimitStandard,
      Premium: settings.storageLimitPremium,
    },
  };
  const limits = {
    idleMs: settings.uploadIdleExpiry,
    maxBlobBytes: settings.maxBlobSize,
    maxOpenPerIdentity: settings.uploadLimit,
    graceMs: settings.blobGrace,
  };
  return {
    ...tenant,
    directory,
    registries,
    authorize,
    explain: createExplain({ ...data, directory, rightsSource, tenantUid }),
    issueTokens: createIssueTokens(issuing),
    exchangeToken: createExchangeToken(issuing),
    blobs: new Blobs({ ...content, isChecked: settings.blockCheck }),
    uploads: new Uploads({
      ...content,
      limits,
      tickets: new UploadTickets(derivedKey(data.masterKeys, 'upload tickets')),
    }),
    manifests: new Manifests({ ...content, isSparseAllowed: settings.sparseManifests }),
    deletions: new Deletions(content),
    attributeChanges: new AttributeChanges(content),
    metadata: new Metadata(content),
    usageReports: new UsageReports(content),
    deletedListings: new DeletedListings(data.database),
    restores: new Restores(content),
    deletedExpiry: content,
    removalGuard: new RemovalGuard({ ...data, graceMs: settings.blobGrace }),
    listings: new Listings(data.database),
  };
}

/** Sign-in of the tenant, and its directory. */
function composeTenant(settings: Settings, data: Data, signIn: SignIn) {
  const { tenantUid, tenantId } = data.installation;
  const keys = new SigningKeys({ ...data, tenantUid, purpose: 'tenantToken' });
  const { domain } = settings;
  const tenantTokens = new TenantTokens({ ...data, keys, tenantId, domain, lifetimeSeconds: tenantTokenSeconds });
  const outsideIssuers = new OutsideIssuers(data.outbound, clock);
  return {
    signIn,
    tenantTokens,
    tenantCaller: createTenantCaller({ ...data, tenantTokens }),
    clientAssertions: new ClientAssertions({ ...data, outsideIssuers, tenantUid }),
    sessions: new SignInSessions(data),
    deviceCodes: new DeviceCodes(data),
    authorizationCodes: new AuthorizationCodes(data),
    outsideSignIn: composeOutsideSignIn(settings, data),
    findClient: createFindClient(data.database, tenantUid),
    tenantDirectory: new TenantDirectory({ ...data, tenantUid }),
    identityBindings: new IdentityBindings({ ...data, tenantUid }),
  };
}

/** Sign-in through an outside provider; undefined when none is set. */
function composeOutsideSignIn(settings: Settings, data: Data): OutsideSignIn | undefined {
  const { oidcIssuer: issuer, oidcClientId: clientId, oidcClientSecret: clientSecret } = settings;
  if (issuer === undefined) return undefined;
  if (clientId === undefined) throw new Error('sign-in through an OpenID provider needs a client id: --oidc-client-id');
  const outsideProvider = new OutsideProvider(data, {
    issuer,
    clientId,
    clientSecret,
    name: settings.oidcName,
    scopes: settings.oidcScopes,
    userClaim: settings.oidcUserClaim,
    groupsClaim: settings.oidcGroupsClaim,
  });
  const { tenantUid } = data.installation;
  const outsideAccounts = new OutsideAccounts({ ...data, tenantUid }, settings.oidcGroups);
  return new OutsideSignIn({ ...data, outsideProvider, outsideAccounts });
}

/** The control plane; its types reach over several features. */
function composeArm(settings: Settings, data: Data, features: Features, jobs: Jobs): Arm {
  return createArm({
    ...data,
    ...features,
    ...data.installation,
    jobs,
    domain: settings.domain,
    loginServerOf: (label) => loginServerOf(settings, label),
    defaultRegistryName,
    locationNames: settings.locations,
    transfer: transferOf(settings),
  });
}

function transferOf(settings: Settings) {
  return { minBytesPerSecond: settings.minBodyRate, windowMs: settings.minBodyRateWindow };
}

function composeApp(
  settings: Settings,
  data: Data,
  features: Features & { readonly arm: Arm },
  metrics: Metrics,
  isStopping: () => boolean,
  part: Part | undefined,
): Hono<Env> {
  const { trustedProxies, domain } = settings;
  const checks = { database: () => data.database.nowMicros(), store: () => data.store.check() };
  const parts = { ...data, ...features, metrics, isStopping, transfer: transferOf(settings) };
  const app = new Hono<Env>();
  app.onError(renderFailure(data.log));
  app.notFound(renderNotFound);
  app.use(
    exchange({
      ...parts,
      domain,
      ...(part && { part }),
      trustedProxies: trustedProxies.length === 0 ? undefined : blockListOf(trustedProxies),
    }),
  );
  app.route('/', asOfRoutes({ ...parts, ...data.installation }));
  app.route('/', ociRoutes(parts));
  app.route('/', acrRoutes(parts));
  app.route('/', tokenRoutes(parts));
  app.route('/', graphRoutes({ ...parts, domain }));
  app.route('/', loginRoutes({ ...parts, domain, portSuffix: portSuffixOf(settings) }));
  app.route('/', adminRoutes(parts));
  app.route('/', liveRoutes(parts));
  app.route('/', auditRoutes({ ...parts, ...data.installation }));
  app.route('/', accessRoutes(parts));
  app.route('/', identityBindingRoutes(parts));
  app.route('/', retentionRoutes(parts));
  app.route('/', purgeRoutes(parts));
  app.route('/', healthRoutes({ ...parts, checks, hasMetricsListener: settings.metrics !== undefined }));
  app.route('/', features.arm.routes);
  app.route('/', statusPage());
  return app;
}

/** Stops accepting and finishes what is in flight when disposed. */
async function listen(
  settings: Settings,
  appOf: (part?: Part) => Hono<Env>,
  metrics: Metrics,
  certificates: Certificates,
): Promise<AsyncDisposable> {
  const { http, https, management } = settings;
  const started: { readonly servers: HttpServers; readonly graceMs: number }[] = [];
  const start = async (listeners: readonly Listener[], app: Hono<Env>, graceMs: number) => {
    started.push({ servers: await startHttpServers({ listeners, answer: answerWith(app), clock }), graceMs });
  };
  // Together, so that the grace of one is not added to that of the next.
  const stop = async () => {
    await Promise.all(started.map(({ servers, graceMs }) => servers.stop(graceMs)));
  };
  const main = [
    ...(http ? [{ ...http, setting: 'http' }] : []),
    ...(https ? [{ ...https, setting: 'https', certificates }] : []),
  ];
  try {
    await start(main, appOf(management && 'registry'), stopGraceMs);
    if (management)
      await start([{ ...management, setting: 'management', certificates }], appOf('control'), stopGraceMs);
    if (settings.metrics) await start([{ ...settings.metrics, setting: 'metrics' }], metricsApp(metrics), 0);
  } catch (error) {
    await stop();
    throw error;
  }
  return { [Symbol.asyncDispose]: stop };
}

/** The endpoint of managed identities, where it is switched on. */
async function listenForIdentities(
  settings: Settings,
  data: Data,
  features: Features,
  metrics: Metrics,
): Promise<AsyncDisposable> {
  const { identityEndpoint: listener, domain } = settings;
  const parts = { ...data, ...features, metrics, domain };
  const servers =
    listener &&
    (await startHttpServers({
      listeners: [{ ...listener, setting: 'identity-endpoint' }],
      answer: answerWith(
        identityEndpoint({ ...parts, machineSignIn: createMachineSignIn(parts), host: listener.host }),
      ),
      clock,
    }));
  return { [Symbol.asyncDispose]: async () => await servers?.stop(stopGraceMs) };
}

function refuseToHide({ http, https, management }: Settings): void {
  if (http === undefined && https === undefined && management === undefined)
    throw new SettingsError('http and https are none: nobody could reach the server; give one of them an address');
}

function openLog({ logFormat, logLevel }: Settings, sink: LineSink): Log {
  const format = logFormat === 'auto' ? (process.stderr.isTTY ? 'pretty' : 'json') : logFormat;
  return createLog({ sink, format, level: logLevel });
}

/** Servers that share a database need the same key, so it comes from outside. */
function openMasterKeys({ masterKey, masterKeyFile, database }: Settings, folder: DataFolder): MasterKeys {
  if (masterKey !== undefined) return parseMasterKeys(masterKey);
  if (masterKeyFile !== undefined) return readMasterKeyFile(masterKeyFile);
  if (database === undefined) return readOrCreateMasterKeyFile(folder.masterKey, ids);
  throw new Error(
    'PostgreSQL needs a master key that every server has: --master-key-file or BERTH_MASTER_KEY (openssl rand -base64 32)',
  );
}

function defaultRegistryUid({ directory }: Features): string {
  const registry = directory.defaultRegistry();
  if (registry === undefined) throw new Error(`the default registry ${defaultRegistryName} is missing`);
  return registry.uid;
}

/** Behind host names; 443 needs none. */
function portSuffixOf(settings: Settings): string {
  const port = publicPortOf(settings);
  return port === 443 ? '' : `:${port}`;
}

/** What is told to nobody is undone by the next start. A worker takes all processes with it: SQLite shares its memory among them. */
function endNow(role: ProcessRole): never {
  process.exit(role === 'worker' ? diskFailedCode : 1);
}

/** The same in every process of the installation. */
function derivedKey([{ bytes }]: MasterKeys, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', bytes, '', `berth ${purpose}`, 32));
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
