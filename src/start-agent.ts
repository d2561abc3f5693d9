import { mkdir, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { runAgent, UnfitHost } from './agent/agent.ts';
import { createBuildAddressCheck } from './agent/executors/build-addresses.ts';
import type { BuildKitSettings } from './agent/executors/buildkit.ts';
import { checkHostWith } from './agent/executors/buildkit-host.ts';
import { buildKitSettings } from './agent/executors/buildkit-settings.ts';
import { checkHost, type HostFacts } from './agent/executors/check-host.ts';
import type { AgentTask } from './cli/command.ts';
import { createAgentClient } from './client/agent-client.ts';
import { createLineSink } from './platform/line-sink.ts';
import { createLog } from './platform/log.ts';
import { createOutbound } from './platform/outbound/outbound.ts';
import { guardProcess } from './platform/process.ts';
import { systemClock } from './platform/system-clock.ts';
import { systemIds } from './platform/system-ids.ts';
import type { Settings } from './settings.ts';

export type StartAgentParts = {
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
  /** Of the server; undefined when nothing says where it is. */
  readonly origin: string | undefined;
  /** Reaches the server and trusts its certificate. */
  readonly fetch: typeof fetch;
};

const requestTimeoutMs = 30_000;
const stopSignals = ['SIGTERM', 'SIGINT'] as const;

/** Runs a build agent until it is told to stop. False where this machine cannot, or the settings do not say for whom. */
export async function startAgent(task: AgentTask, settings: Settings, parts: StartAgentParts): Promise<boolean> {
  if (task.isCheck) return await printCheck(parts, settings);
  const { origin } = parts;
  const token = settings.agentToken;
  if (origin === undefined || token === undefined) {
    parts.complain(
      'berth: an agent needs --server URL, and a token of its pool in BERTH_AGENT_TOKEN (berth agent-token create)',
    );
    return false;
  }
  const format = settings.logFormat === 'auto' ? (process.stderr.isTTY ? 'pretty' : 'json') : settings.logFormat;
  const log = createLog({ sink: createLineSink(process.stderr), format, level: settings.logLevel });
  guardProcess(log);
  const stopping = new AbortController();
  for (const signal of stopSignals) process.once(signal, () => stopping.abort());
  const folder = folderOf(settings);
  await makeFolder(folder);
  const { outboundAllow: allow, outboundHost: hosts } = settings;
  const isAllowed = createBuildAddressCheck(allow);
  const outbound = createOutbound({ allow, isAllowed, hosts, clock: systemClock });
  try {
    await runAgent(
      {
        client: createAgentClient({ origin, token, fetch: parts.fetch, timeoutMs: requestTimeoutMs }),
        ...{ clock: systemClock, log, outbound, folder, slots: task.slots },
        proxyRules: { isAllowed, hosts },
        hasNetwork: settings.buildNetwork,
        isolation: settings.buildIsolation,
        buildKit: buildKitOf(settings),
        doesUnpatchedPullRequests: settings.buildUnpatchedPullRequests,
        name: `${hostname()}-${process.pid}`.slice(0, 100),
        uid: systemIds.uid,
        guid: systemIds.guid,
      },
      stopping.signal,
    );
    return true;
  } catch (error) {
    if (!(error instanceof UnfitHost)) throw error;
    parts.complain(`berth: this machine cannot do builds:\n${error.message}`);
    return false;
  } finally {
    await outbound.close();
  }
}

/** What this machine can do for builds with these settings. SIGTERM and SIGINT end the process once nothing is left of the try. */
export async function buildHostOf(settings: Settings): Promise<HostFacts> {
  return await endedBySignals(async (signal) => {
    // Where agents have their rooms: what is left here, also of a try, they sweep.
    const folder = folderOf(settings);
    const made = await makeFolder(folder).catch(() => undefined);
    const place = { folder, uid: systemIds.uid };
    const wish = settings.buildIsolation;
    try {
      return await checkHostWith(wish, buildKitOf(settings), place, signal);
    } catch (error) {
      if (!(error instanceof UnfitHost)) throw error;
      const host = await checkHost(wish, place, signal);
      return { ...host, missing: [...host.missing, error.message] };
    } finally {
      if (made !== undefined) await removeEmpty(folder, made);
    }
  });
}

function folderOf({ data }: Settings): string {
  return resolve(join(data, 'agent'));
}

/** The first folder that was not there, if any. */
async function makeFolder(folder: string): Promise<string | undefined> {
  return await mkdir(folder, { recursive: true, mode: 0o700 });
}

/** From the folder up to the last, while nothing is in them. */
async function removeEmpty(folder: string, last: string): Promise<void> {
  for (let each = folder; each.startsWith(last); each = dirname(each)) {
    const isGone = await rmdir(each).then(
      () => true,
      () => false,
    );
    if (!isGone) return;
  }
}

/** A signal aborts the work, and ends this process when that is over. */
async function endedBySignals<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stopping = new AbortController();
  const stop = (name: NodeJS.Signals) => stopping.abort(name);
  for (const name of stopSignals) process.on(name, stop);
  try {
    return await work(stopping.signal);
  } finally {
    for (const name of stopSignals) process.off(name, stop);
    const name = stopSignals.find((each) => each === stopping.signal.reason);
    if (name !== undefined) process.kill(process.pid, name);
  }
}

/** Throws UnfitHost for an address that cannot be used as it is. */
function buildKitOf(settings: Settings): BuildKitSettings | undefined {
  try {
    return buildKitSettings({
      address: settings.buildkit,
      tlsFolder: settings.buildkitTls,
      program: settings.buildctl,
      provenance: settings.buildkitProvenance,
      sbomGenerator: settings.buildkitSbom,
    });
  } catch (error) {
    throw error instanceof TypeError ? new UnfitHost(error.message, { cause: error }) : error;
  }
}

async function printCheck({ print }: StartAgentParts, settings: Settings): Promise<boolean> {
  const { executor, isolation, missing, warnings } = await buildHostOf(settings);
  print(`executor: ${executor}\nisolation: ${isolation}`);
  for (const warning of warnings) print(`warning: ${warning}`);
  for (const line of missing) print(`missing: ${line}`);
  return missing.length === 0;
}
