import { type AgentClient, LeaseLost } from '../client/agent-client.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Outbound } from '../platform/outbound/outbound.ts';
import type { LeaseState, RunOrder, RunResult } from '../wire/builds/agent-protocol.ts';
import type { BuildKitSettings } from './executors/buildkit.ts';
import { checkHostWith } from './executors/buildkit-host.ts';
import type { Cell } from './executors/cell.ts';
import type { HostFacts } from './executors/check-host.ts';
import type { IsolationWish } from './executors/container-isolation.ts';
import type { ProxyRules } from './executors/proxy-target.ts';
import { refuseStrangers } from './executors/refuse-strangers.ts';
import { firstUserOf } from './executors/room-users.ts';
import { sweepLeftovers } from './executors/sweep.ts';
import { openUserCell } from './executors/user-cell.ts';
import { finishRun } from './finish-run.ts';
import { LogUpload } from './log-upload.ts';
import { RunLog } from './run-log.ts';
import { type RunOrderParts, RunStop, runOrder } from './run-order.ts';

export type AgentParts = {
  readonly client: AgentClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly outbound: Outbound;
  readonly proxyRules: ProxyRules;
  /** Where runs have their disks: a folder of this agent's own, absolute. */
  readonly folder: string;
  /** Names the agent in lists and logs. */
  readonly name: string;
  /** Runs at the same time. */
  readonly slots: number;
  /** Whether steps reach more than the registry here; the server may say no for all agents. */
  readonly hasNetwork: boolean;
  /** Those of forks, also with programs that lack fixes of known escapes from containers, and with what was asked for. */
  readonly doesUnpatchedPullRequests: boolean;
  /** Of the containers of a run from each other. */
  readonly isolation: IsolationWish;
  /** Builds images, where there is one. */
  readonly buildKit: BuildKitSettings | undefined;
  /** Random, as names of runs' folders. */
  readonly uid: () => string;
  readonly guid: () => string;
};

const sweepMs = 60_000;
const retryMs = 2_000;

/** Why this machine cannot do runs, and what would help: one line each. */
export class UnfitHost extends Error {
  override readonly name = 'UnfitHost';
}

/**
 * Takes runs and does them until the signal ends it; runs under way are then given back by their leases. First it removes
 * what an agent that was killed left here. Throws UnfitHost.
 */
export async function runAgent(parts: AgentParts, signal: AbortSignal): Promise<void> {
  const { log, clock, folder } = parts;
  const sweep = () =>
    sweepLeftovers(folder, clock.nowMicros() / 1000, (leftover, error) => {
      log.warn('what is left of a run cannot be removed', { leftover, error });
    });
  // What they hold may be what a room needs: a full disk is one.
  await sweep();
  const host = await checkHostWith(parts.isolation, parts.buildKit, parts, signal).catch((error: unknown) => {
    if (signal.aborted) return undefined;
    throw error;
  });
  if (host === undefined) return;
  if (host.missing.length > 0) throw new UnfitHost(host.missing.join('\n'));
  log.info('agent ready', {
    agent: parts.name,
    slots: parts.slots,
    executor: host.executor,
    isolation: host.isolation,
  });
  for (const warning of host.warnings) log.warn('agent host', { warning });
  const sweeping = repeatedly(parts, signal, async () => {
    await clock.sleep(sweepMs, signal);
    await sweep();
  });
  const slots = Array.from({ length: parts.slots }, (_, slot) =>
    repeatedly(parts, signal, () => takeRun(parts, host, slot, signal)),
  );
  await Promise.all([sweeping, ...slots]);
}

async function repeatedly({ log, clock }: AgentParts, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      if (signal.aborted) return;
      log.warn('agent waits', { error });
      await clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }
}

async function takeRun(parts: AgentParts, host: HostFacts, slot: number, signal: AbortSignal): Promise<void> {
  const { executor, isolation, platforms, unasked } = host;
  const order = await parts.client.lease(
    {
      ...{ agent: parts.name, executor, isolation, platforms: [...platforms] },
      ...(unasked === undefined ? {} : { refusesStrangers: true }),
    },
    signal,
  );
  if (order === undefined) return;
  const log = parts.log.with({ runId: order.runId, attempt: order.attempt });
  log.info('run begins');
  try {
    const result = await doRun(parts, host, order, slot, signal);
    log.info('run ended', { status: result.status });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof LeaseLost)) throw error;
    log.warn('run was given to another agent', { error });
  }
}

/** From its first line to what the server is told; its slot is free when nothing of it is left. */
async function doRun(
  parts: AgentParts,
  host: HostFacts,
  order: RunOrder,
  slot: number,
  signal: AbortSignal,
): Promise<RunResult> {
  const { client, clock, folder } = parts;
  const ender = new AbortController();
  const both = AbortSignal.any([signal, ender.signal]);
  const onState = ({ isCanceled }: LeaseState) => {
    if (isCanceled) ender.abort(new RunStop('Canceled'));
  };
  const onLost = (cause: unknown) => ender.abort(cause);
  const timer = setTimeout(() => ender.abort(new RunStop('Timeout')), order.timeoutSeconds * 1000);
  const upload = new LogUpload({ client, clock, order, onState, onLost, signal: both });
  const log = new RunLog({
    sink: (bytes) => upload.add(bytes),
    clock,
    maxBytes: order.limits.logBytes,
    masked: order.masked,
  });
  const beat = heartbeats(parts, order, onState, onLost, both);
  let cell: Cell | undefined;
  const close = async () => await cell?.close();
  const runParts: RunOrderParts = {
    ...{ client, clock, guid: parts.guid, outbound: parts.outbound, proxyRules: parts.proxyRules, agentLog: parts.log },
    isolation: host.containers,
    weakness: host.weakness,
    buildKit: parts.buildKit,
    openCell: async (opening) => {
      const hasBuildKit = parts.buildKit !== undefined;
      refuseStrangers(order, { ...host, hasBuildKit }, parts.doesUnpatchedPullRequests);
      cell = await openUserCell({
        ...opening,
        name: `${order.runId}-${parts.uid()}`,
        root: folder,
        limits: order.limits,
        firstUserId: firstUserOf(slot),
      });
      return cell;
    },
  };
  try {
    const hasNetwork = order.hasNetwork && parts.hasNetwork;
    const result = await runOrder(runParts, { ...order, hasNetwork }, log, both);
    // Nobody waits for the room: it takes as long to close as its disk is full.
    close().catch(() => {
      // Closed below too, which tells.
    });
    await log.flush();
    await upload.end();
    const lost: unknown = ender.signal.reason;
    if (lost instanceof LeaseLost) throw lost;
    await finishRun(parts, order, result);
    return result;
  } finally {
    clearTimeout(timer);
    ender.abort(new Error('the run has ended'));
    await Promise.all([beat, close()]);
  }
}

/** Three in the time of a lease. One that fails is tried again: the log's pieces renew it too. */
async function heartbeats(
  { client, clock }: AgentParts,
  order: RunOrder,
  onState: (state: LeaseState) => void,
  onLost: (cause: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  const pauseMs = (order.leaseSeconds * 1000) / 3;
  let lastMs = clock.monotonicMs();
  while (!signal.aborted) {
    const isEnded = await clock.sleep(Math.min(pauseMs, 5_000), signal).then(
      () => false,
      () => true,
    );
    if (isEnded) return;
    try {
      onState(await client.heartbeat(order.lease));
      lastMs = clock.monotonicMs();
    } catch (cause) {
      const isOver = clock.monotonicMs() - lastMs > order.leaseSeconds * 1000;
      if (cause instanceof LeaseLost) onLost(cause);
      else if (isOver) onLost(new LeaseLost('the server was not reached while the lease lasted'));
    }
  }
}
