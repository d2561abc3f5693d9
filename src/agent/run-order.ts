import { join } from 'node:path/posix';
import type { AgentClient } from '../client/agent-client.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Outbound } from '../platform/outbound/outbound.ts';
import type { RunOrder, RunResult } from '../wire/builds/agent-protocol.ts';
import { TaskError } from '../wire/tasks/task-error.ts';
import type { SecretVolume, Task } from '../wire/tasks/task-file.ts';
import type { TaskText } from '../wire/tasks/task-text.ts';
import { askSecrets } from './ask-secrets.ts';
import { dependenciesOf, dependencyText } from './dependency-report.ts';
import { EarlyPrograms } from './early-programs.ts';
import { createBuildah } from './executors/buildah.ts';
import { type BuildKitSettings, withBuildKit } from './executors/buildkit.ts';
import type { Cell, CellOpening } from './executors/cell.ts';
import type { ContainerIsolation } from './executors/container-isolation.ts';
import { directList } from './executors/direct-list.ts';
import type { Executor } from './executors/executor.ts';
import { containerAddresses } from './executors/network-bridges.ts';
import { createOutboundProxy } from './executors/outbound-proxy.ts';
import type { ProxyRules } from './executors/proxy-target.ts';
import { isOfStranger } from './executors/refuse-strangers.ts';
import { createRelay } from './executors/relay.ts';
import { fetchContext } from './fetch-context.ts';
import { hostsOf, ownServers, registryTarget } from './own-servers.ts';
import { ProgramError } from './program.ts';
import { readTask, type TaskSurroundings } from './read-task.ts';
import { RunFailure } from './run-failure.ts';
import type { RunLog } from './run-log.ts';
import type { MadeImages, RunRoom } from './run-room.ts';
import { signIn } from './sign-in.ts';
import { requireDoable } from './steps/doable.ts';
import { runSteps, type StepTimes } from './steps/run-steps.ts';
import { serviceNames } from './steps/service-names.ts';
import { writeFiles } from './write-files.ts';

export type RunOrderParts = {
  readonly client: AgentClient;
  readonly clock: Clock;
  readonly outbound: Outbound;
  readonly proxyRules: ProxyRules;
  readonly agentLog: Log;
  readonly isolation: ContainerIsolation;
  /** Of that isolation: every run is told. */
  readonly weakness?: string | undefined;
  readonly buildKit: BuildKitSettings | undefined;
  /** Whoever opens it closes it, once the run has ended. */
  readonly openCell: (opening: CellOpening) => Promise<Cell>;
  readonly guid: () => string;
};

const proxyPort = 3_128;
const maxMessageLength = 4_000;
const noNetwork = 'This run has no network: its steps reach the registry and nothing else';
/** Programs are killed after 5 s. */
const stopGraceMs = 10_000;

/** Why a run ends before its steps do. */
export class RunStop extends Error {
  override readonly name = 'RunStop';
  readonly status: 'Timeout' | 'Canceled';

  constructor(status: 'Timeout' | 'Canceled') {
    super(status === 'Timeout' ? 'it took longer than its time limit' : 'it was canceled');
    this.status = status;
  }
}

/** Does a run from its first line to its last. Throws nothing but a lost lease: a failure is a result. Source: ACR tasks, 1.7 and 2.2. */
export async function runOrder(
  parts: RunOrderParts,
  order: RunOrder,
  log: RunLog,
  signal: AbortSignal,
): Promise<RunResult> {
  const began = parts.clock.monotonicMs();
  const made: MadeImages = { containers: new Map(), networks: new Set(), pushed: new Map(), built: [] };
  const seconds = () => Math.round((parts.clock.monotonicMs() - began) / 1000);
  const ended = new AbortController();
  const early = new EarlyPrograms(order, AbortSignal.any([signal, ended.signal]));
  let cell: Cell | undefined;
  try {
    if (parts.weakness !== undefined) log.say(`Warning: ${parts.weakness}`);
    cell = await parts.openCell({
      hosts: hostsOf(order),
      doors: doorsOf(parts, order),
      onLimits: (it) => early.start(it),
    });
    closeWhenStopped(cell, parts.clock, { stop: signal, ended: ended.signal });
    await workIn(parts, { order, cell, early, log, made, signal });
    log.say(`Run ID: ${order.runId} was successful after ${seconds()}s`);
    return { status: 'Succeeded', ...(await resultOf(made, cell)) };
  } catch (cause) {
    const failure = failureOf(cause, order, signal);
    // It is told where the log is not: in lists, events and the audit log.
    const result = { ...failure, message: log.masked(failure.message).slice(0, maxMessageLength) };
    if (result.status === 'Error') parts.agentLog.error('run could not be done', { runId: order.runId, error: cause });
    const isStopped = result.status === 'Timeout' || result.status === 'Canceled';
    log.say(
      `Run ID: ${order.runId} ${wordOf(result.status)} after ${seconds()}s${isStopped ? '' : `. Error: ${result.message}`}`,
    );
    return { ...result, ...(await resultOf(made, cell)) };
  } finally {
    ended.abort(new Error('the run has ended'));
  }
}

/** What does not end when it is told to ends with the room in which it is: no run holds its slot for longer. */
function closeWhenStopped(
  cell: Cell,
  clock: Clock,
  { stop, ended }: { readonly stop: AbortSignal; readonly ended: AbortSignal },
): void {
  const close = () => {
    clock
      .sleep(stopGraceMs, ended)
      .then(() => cell.close())
      .catch(() => {
        // The run has ended by itself; or it closes the room again, and tells.
      });
  };
  if (stop.aborted) close();
  else stop.addEventListener('abort', close, { once: true, signal: ended });
}

type Work = {
  readonly order: RunOrder;
  readonly cell: Cell;
  readonly early: EarlyPrograms;
  readonly log: RunLog;
  readonly made: MadeImages;
  readonly signal: AbortSignal;
};

async function workIn(parts: RunOrderParts, work: Work): Promise<void> {
  const { order, cell, early, log, signal } = work;
  const workspace = join(cell.folder, 'workspace');
  if (!order.hasNetwork) log.say(noNetwork);
  const hasContext = order.source.kind !== 'none';
  if (hasContext) log.say('Downloading source code...');
  const upload = (fetching: AbortSignal) => parts.client.context(order.lease, fetching);
  const [head] = await Promise.all([
    fetchContext({ ...parts, cell, workspace, upload, archives: early.archives }, order, signal),
    trustServers(order, cell),
  ]);
  if (hasContext) log.say('Finished downloading source code');
  const sharedVolume = `acb_vol_${parts.guid()}`;
  log.say(`Using ${sharedVolume} as the home volume`);
  const run = {
    ...order.variables,
    Commit: order.variables.Commit || (head.commit ?? ''),
    Branch: order.variables.Branch || (head.branch ?? ''),
    GitTag: order.variables.GitTag || (head.tag ?? ''),
    Repository: order.variables.Repository || (head.repository ?? ''),
  };
  const now = new Date(parts.clock.nowMicros() / 1000);
  const { outbound } = parts;
  const readSecrets: TaskSurroundings['readSecrets'] = (secrets, stop) => askSecrets(parts, order, secrets, stop);
  const around = { run, sharedVolume, now, cell, workspace, log, outbound, parse: early.parse, readSecrets, signal };
  const { task, aliases, masked } = await readTask(order, around);
  requireDoable(task, order, { hasBuildKit: parts.buildKit !== undefined });
  if (task.networks.length > 0) sayNetworks(log, task);
  const known = { ...order, variables: run, masked: [...order.masked, ...masked] };
  const room = await roomOf(parts, { ...work, order: known }, { task, aliases, workspace });
  await signIn(room, signal);
  const times = await runSteps(room, task, signal);
  sayResult(room, task, times);
}

/** The registry under each of its names, and the way to the rest of the world where the run has one. */
function doorsOf({ proxyRules }: RunOrderParts, order: RunOrder): CellOpening['doors'] {
  const registry = [portOf(order.variables.Registry), createRelay(registryTarget(order))] as const;
  return new Map([registry, ...(order.hasNetwork ? [[proxyPort, createOutboundProxy(proxyRules)] as const] : [])]);
}

async function trustServers(order: RunOrder, cell: Cell): Promise<void> {
  if (order.caCertificate === undefined) return;
  const bytes = new TextEncoder().encode(order.caCertificate);
  const folder = join(cell.folder, 'etc/containers/certs.d');
  const certificates = ownServers(order).map((server) => ({ path: join(folder, server, 'ca.crt'), bytes }));
  await writeFiles(cell, certificates);
}

function portOf(server: string): number {
  return Number(/:(\d+)$/.exec(server)?.[1] ?? 443);
}

function sayNetworks(log: RunLog, { networks }: Task): void {
  for (const name of networks) {
    log.say(`Creating Docker network: ${name}, driver: 'bridge'`);
    log.say(`Successfully set up Docker network: ${name}`);
  }
}

async function roomOf(
  { client, clock, isolation, buildKit }: RunOrderParts,
  { order, cell, early, log, made }: Work,
  {
    task,
    aliases,
    workspace,
  }: { readonly task: Task; readonly aliases: TaskText['aliases']; readonly workspace: string },
): Promise<RunRoom> {
  const volumes = new Map<string, string>();
  for (const volume of task.volumes) {
    volumes.set(volume.name, await makeVolume(cell, volume));
    log.say(`Volume source ${volume.name} successfully created`);
  }
  return {
    ...{ order, cell, log, clock, workspace, volumes, aliases, made, parse: early.parse },
    networks: task.networks,
    executor: executorOf({ isolation, buildKit }, order, { cell, task }),
    registries: order.credentials.map(({ server }) => server),
    runBuiltIn: (words, signal) => client.command(order.lease, words, signal),
  };
}

function executorOf(
  { isolation, buildKit }: Pick<RunOrderParts, 'isolation' | 'buildKit'>,
  order: RunOrder,
  { cell, task }: { readonly cell: Cell; readonly task: Task },
): Executor {
  const env = proxyEnvironment(order, cell, serviceNames(task.steps));
  const base = createBuildah({ cell, env, isolation });
  if (buildKit === undefined) return base;
  const { hasNetwork, masked, variables } = order;
  const cacheNamespace = isOfStranger(order) ? `${variables.Registry}/forks` : variables.Registry;
  const servers = ownServers(order);
  return withBuildKit(base, { cell, env, settings: buildKit, hasNetwork, servers, masked, cacheNamespace });
}

/** Its bytes exactly, not as text. */
async function makeVolume(cell: Cell, { name, files }: SecretVolume): Promise<string> {
  const folder = join(cell.folder, 'secrets', name);
  const written = [...files].map(([file, bytes]) => ({ path: join(folder, file), bytes }));
  await writeFiles(cell, written);
  return folder;
}

/** Past the proxy go the registry and what steps serve to each other. */
function proxyEnvironment(
  { hasNetwork, variables }: RunOrder,
  { address }: Cell,
  services: readonly string[],
): Readonly<Record<string, string>> {
  if (!hasNetwork) return {};
  const proxy = `http://${address}:${proxyPort}`;
  const registry = variables.Registry.replace(/:\d+$/, '');
  const direct = directList(['localhost', '127.0.0.1', containerAddresses, registry, ...services]);
  return {
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    NO_PROXY: direct,
    http_proxy: proxy,
    https_proxy: proxy,
    no_proxy: direct,
  };
}

function sayResult({ log, made }: RunRoom, task: Task, times: StepTimes): void {
  for (const { id } of task.steps) {
    log.say(`Step ID: ${id} marked as successful (elapsed time in seconds: ${(times.get(id) ?? 0).toFixed(6)})`);
    if (!made.built.some(({ stepId }) => stepId === id)) continue;
    log.say(`Populating digests for step ID: ${id}...`);
    log.say(`Successfully populated digests for step ID: ${id}`);
  }
  const dependencies = dependenciesOf(made);
  if (dependencies.length > 0) {
    log.say('The following dependencies were found:');
    log.say(`\n${dependencyText(dependencies)}`);
  }
}

async function resultOf(
  made: MadeImages,
  cell: Cell | undefined,
): Promise<Pick<RunResult, 'images' | 'dependencies' | 'cpuSeconds'>> {
  const cpuSeconds = await cell?.cpuSeconds();
  const images = [...made.pushed.values()];
  return { images, dependencies: dependenciesOf(made), ...(cpuSeconds === undefined ? {} : { cpuSeconds }) };
}

function failureOf(
  cause: unknown,
  { hasNetwork }: RunOrder,
  signal: AbortSignal,
): { readonly status: Exclude<RunResult['status'], 'Succeeded'>; readonly message: string } {
  const stop: unknown = signal.reason;
  if (signal.aborted && stop instanceof RunStop) return { status: stop.status, message: stop.message };
  signal.throwIfAborted();
  const isOwners = cause instanceof RunFailure || cause instanceof TaskError;
  const why = hasNetwork ? '' : `. ${noNetwork}`;
  if (isOwners) return { status: 'Failed', message: `failed during run, err: ${cause.message}${why}` };
  const what = cause instanceof ProgramError ? cause.message : 'the agent failed to do the run; its log says why';
  return { status: 'Error', message: what };
}

function wordOf(status: RunResult['status']): string {
  return status === 'Timeout' ? 'timed out' : status === 'Canceled' ? 'was canceled' : 'failed';
}
