import { hkdfSync } from 'node:crypto';
import { join } from 'node:path';
import { reachable } from './addresses.ts';
import { startBuiltInAgent } from './built-in-agent.ts';
import { AgentTokens } from './features/builds/agent-tokens.ts';
import { isSharedRunQueued } from './features/builds/run-queue.ts';
import type { Data } from './open-data.ts';
import type { Certificates } from './platform/certificates/certificates.ts';
import type { Settings } from './settings.ts';

/** What a build needs of the environment of its server; secrets of the server are not in it. */
const handedOn = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'XDG_RUNTIME_DIR'];

/**
 * The build agent of this server, or nothing where the settings say so. `program` is how this process was started: the agent
 * is the same program. The server's own token is made of the master key, so that every start of every server has the same.
 */
export async function composeBuiltInAgent(
  settings: Settings,
  data: Data,
  certificates: Pick<Certificates, 'caPath'>,
  program: readonly [string, ...string[]],
): Promise<AsyncDisposable> {
  const origin = agentOrigin(settings);
  if (!settings.builds || origin === undefined) return { [Symbol.asyncDispose]: async () => {} };
  const token = tokenOf(data);
  await new AgentTokens({ ...data, tenantUid: data.installation.tenantUid }).keepBuiltIn(token);
  const environment = Object.entries(process.env).filter(([name]) => handedOn.includes(name));
  return startBuiltInAgent({
    ...data,
    isNeeded: () => isSharedRunQueued(data.database.read),
    folder: join(settings.data, 'agent'),
    onQueued: (wake) => data.journal.onAppend(wake),
    words: [...program, 'agent', ...agentFlags(settings, origin)],
    env: {
      ...Object.fromEntries(environment.map(([name, value = '']) => [name, value])),
      BERTH_AGENT_TOKEN: token,
      BERTH_BUILD_UNPATCHED_PULL_REQUESTS: settings.buildUnpatchedPullRequests ? 'on' : 'off',
      NODE_EXTRA_CA_CERTS: certificates.caPath,
    },
  });
}

/** What it is told of the settings of its server. */
export function agentFlags(settings: Settings, origin: string): readonly string[] {
  const { outboundAllow, outboundHost } = settings;
  const hosts = [...outboundHost].map(([name, { host, port }]) => {
    return `${name}=${host.includes(':') ? `[${host}]` : host}:${port}`;
  });
  return [
    ...['--pool', 'default', '--server', origin, '--slots', String(settings.buildSlots)],
    ...['--data', settings.data, '--log-format', logFormatOf(settings), '--log-level', settings.logLevel],
    ...(outboundAllow.length === 0 ? [] : ['--outbound-allow', outboundAllow.join(',')]),
    ...['--build-isolation', settings.buildIsolation],
    ...buildKitFlags(settings),
    ...(hosts.length === 0 ? [] : ['--outbound-host', hosts.join(',')]),
  ];
}

function buildKitFlags(settings: Settings): readonly string[] {
  const { buildkit, buildkitTls, buildctl, buildkitProvenance, buildkitSbom } = settings;
  if (buildkit === undefined) return [];
  return [
    ...['--buildkit', buildkit, '--buildctl', buildctl, '--buildkit-provenance', buildkitProvenance],
    ...(buildkitTls === undefined ? [] : ['--buildkit-tls', buildkitTls]),
    ...(buildkitSbom === undefined ? [] : ['--buildkit-sbom', buildkitSbom]),
  ];
}

/** Its lines stand among those of the server. */
function logFormatOf({ logFormat }: Settings): 'json' | 'pretty' {
  if (logFormat !== 'auto') return logFormat;
  return process.stderr.isTTY ? 'pretty' : 'json';
}

/** Where agents of this machine reach the control plane; undefined when it listens nowhere. */
function agentOrigin({ http, https, management }: Settings): string | undefined {
  if (management !== undefined) return `https://${reachable(management)}`;
  if (http !== undefined) return `http://${reachable(http)}`;
  return https && `https://${reachable(https)}`;
}

function tokenOf({ masterKeys: [{ bytes }] }: Data): string {
  const secret = hkdfSync('sha256', bytes, '', 'berth built-in agent', 32);
  return `berth-agent-${Buffer.from(secret).toString('base64url')}`;
}
