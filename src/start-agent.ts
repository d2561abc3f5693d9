import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { runAgent, UnfitHost } from './agent/agent.ts';
import { createBuildAddressCheck } from './agent/executors/build-addresses.ts';
import { checkHost } from './agent/executors/check-host.ts';
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

/** Runs a build agent until it is told to stop. False where this machine cannot, or the settings do not say for whom. */
export async function startAgent(task: AgentTask, settings: Settings, parts: StartAgentParts): Promise<boolean> {
  if (task.isCheck) return await printCheck(parts);
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
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopping.abort());
  const folder = resolve(join(settings.data, 'agent'));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { outboundAllow: allow, outboundHost: hosts } = settings;
  const outbound = createOutbound({ allow, hosts, clock: systemClock });
  try {
    await runAgent(
      {
        client: createAgentClient({ origin, token, fetch: parts.fetch, timeoutMs: requestTimeoutMs }),
        ...{ clock: systemClock, log, outbound, folder, slots: task.slots },
        proxyRules: { isAllowed: createBuildAddressCheck(allow), hosts },
        hasNetwork: settings.buildNetwork,
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

async function printCheck({ print }: StartAgentParts): Promise<boolean> {
  const { executor, isolation, missing, warnings } = await checkHost();
  print(`executor: ${executor}\nisolation: ${isolation}`);
  for (const warning of warnings) print(`warning: ${warning}`);
  for (const line of missing) print(`missing: ${line}`);
  return missing.length === 0;
}
