import { PassThrough } from 'node:stream';
import type { Clock } from '../platform/clock.ts';
import type { Outbound } from '../platform/outbound/outbound.ts';
import { createOutbound } from '../platform/outbound/outbound.ts';
import type { RunOrder } from '../wire/builds/agent-protocol.ts';
import { ArchiveCheck, type Decompress, safeArchive } from './context/archive.ts';
import { archivesOfArtifact, parseArtifact } from './context/artifact.ts';
import { fetchGit, type GitHead } from './context/git-context.ts';
import { parseLocation } from './context/location.ts';
import { createRepositoryReader } from './context/registry-reader.ts';
import { openRemoteArchive } from './context/remote-archive.ts';
import type { Cell } from './executors/cell.ts';
import { createOutboundProxy } from './executors/outbound-proxy.ts';
import type { ProxyRules } from './executors/proxy-target.ts';
import { hostsOf, registryTarget } from './own-servers.ts';
import { RunFailure } from './run-failure.ts';

export type ContextParts = {
  readonly cell: Cell;
  readonly workspace: string;
  readonly outbound: Outbound;
  readonly proxyRules: ProxyRules;
  readonly clock: Clock;
  /** The archive that was uploaded for the run. */
  readonly upload: (signal: AbortSignal) => Promise<AsyncIterable<Uint8Array>>;
};

const maxEntries = 500_000;
const mebibyte = 1024 * 1024;
/** Open only while a repository is fetched. */
const gitProxyPort = 3_129;
const noHead: GitHead = { commit: undefined, branch: undefined, tag: undefined, repository: undefined };

/** Brings the files of a run into its cell. Throws RunFailure. Source: ACR tasks, 1.3. */
export async function fetchContext(parts: ContextParts, order: RunOrder, signal: AbortSignal): Promise<GitHead> {
  const { source } = order;
  if (source.kind === 'none') return noHead;
  if (source.kind === 'upload') {
    await unpack(parts, checkOf(order), await parts.upload(signal), signal);
    return noHead;
  }
  const location = parseLocation(source.location);
  if (location.kind === 'artifact') {
    await fromArtifact(parts, order, location.reference, signal);
    return noHead;
  }
  if (location.kind === 'archive') {
    const maxBytes = order.limits.diskMiB * mebibyte;
    const archive = await openRemoteArchive(parts, { url: location.url, maxBytes, signal });
    await unpack(parts, checkOf(order), archive, signal);
    return noHead;
  }
  return await fromGit(
    parts,
    { ...location, ref: source.commit ?? location.ref, accessToken: source.accessToken },
    signal,
  );
}

function checkOf({ limits }: RunOrder): ArchiveCheck {
  return new ArchiveCheck({ maxEntries, maxBytes: limits.diskMiB * mebibyte });
}

/** With the rights of the run in its own registry, with those that it was given elsewhere. */
async function fromArtifact(parts: ContextParts, order: RunOrder, text: string, signal: AbortSignal): Promise<void> {
  const address = parseArtifact(text);
  const { server } = address;
  const isOwn = hostsOf(order).includes(server.replace(/:\d+$/, ''));
  const ca = order.caCertificate === undefined ? [] : [order.caCertificate];
  const own = isOwn ? ownRegistry(parts, order, ca) : undefined;
  try {
    const credential = order.credentials.find((each) => each.server.toLowerCase() === server);
    const { outbound } = parts;
    const read = createRepositoryReader({ registry: own ?? outbound, outbound, signal }, { ...address, credential });
    const check = checkOf(order);
    for await (const archive of archivesOfArtifact(read, address)) await unpack(parts, check, archive, signal);
  } finally {
    await own?.close();
  }
}

/** Reaches the run's own installation alone, wherever that is: nobody but the server chose the address. */
function ownRegistry({ clock }: ContextParts, order: RunOrder, ca: readonly string[]): Outbound {
  const target = registryTarget(order);
  return createOutbound({ allow: [], hosts: new Map(hostsOf(order).map((name) => [name, target])), clock, ca });
}

async function unpack(
  { cell, workspace }: ContextParts,
  check: ArchiveCheck,
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const input = safeArchive(archive, check, decompressIn(cell, signal));
  const words = [
    'tar',
    '--extract',
    '--file',
    '-',
    '--directory',
    workspace,
    '--no-same-owner',
    '--keep-directory-symlink',
  ];
  await cell.read(words, { input, signal });
}

/** By programs of the machine, in the cell: what they make of hostile bytes stays there. */
function decompressIn(cell: Cell, signal: AbortSignal): Decompress {
  return (program, input) => {
    const output = new PassThrough();
    const write = (chunk: Uint8Array) =>
      new Promise<void>((resolve, reject) => {
        output.write(chunk, (cause) => (cause ? reject(cause) : resolve()));
      });
    cell
      .run([program, '--decompress', '--stdout'], { input, signal, onStdout: write })
      .then((code) => {
        if (code === 0) output.end();
        else output.destroy(new RunFailure(reasonOfEnd(program, code)));
      })
      .catch((cause: unknown) => output.destroy(cause instanceof Error ? cause : new Error(String(cause))));
    return output;
  };
}

function reasonOfEnd(program: string, code: number): string {
  return code === 127
    ? `the context is compressed with ${program}, which the agent's machine does not have: use gzip or zstd`
    : `the context is not an archive that can be read: ${program} ended with ${code}`;
}

async function fromGit(
  { cell, workspace, proxyRules }: ContextParts,
  location: { url: string; ref: string | undefined; folder: string | undefined; accessToken: string | undefined },
  signal: AbortSignal,
): Promise<GitHead> {
  const door = await cell.listen(gitProxyPort, createOutboundProxy(proxyRules));
  try {
    const proxyUrl = `http://${cell.address}:${gitProxyPort}`;
    return await fetchGit(cell, { ...location, target: workspace, proxyUrl, signal });
  } finally {
    door.close();
  }
}
