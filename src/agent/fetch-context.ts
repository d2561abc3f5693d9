import type { Clock } from '../platform/clock.ts';
import type { Outbound } from '../platform/outbound/outbound.ts';
import type { RunOrder } from '../wire/builds/agent-protocol.ts';
import type { ArchiveLimits } from './context/archive.ts';
import { archivesOfArtifact, parseArtifact } from './context/artifact.ts';
import { fetchGit, type GitHead } from './context/git-context.ts';
import { parseLocation } from './context/location.ts';
import { createRepositoryReader } from './context/registry-reader.ts';
import { openRemoteArchive } from './context/remote-archive.ts';
import { type ArchiveReader, type Unpacking, unpack } from './context/unpack.ts';
import type { Cell } from './executors/cell.ts';
import { createOutboundProxy } from './executors/outbound-proxy.ts';
import type { ProxyRules } from './executors/proxy-target.ts';
import { hostsOf, openOwnRegistry } from './own-servers.ts';

export type ContextParts = {
  readonly cell: Cell;
  readonly workspace: string;
  readonly outbound: Outbound;
  readonly proxyRules: ProxyRules;
  readonly clock: Clock;
  /** The archive that was uploaded for the run. */
  readonly upload: (signal: AbortSignal) => Promise<AsyncIterable<Uint8Array>>;
  /** Waits for it. */
  readonly archives?: ArchiveReader | undefined;
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
    const upload = only(await parts.upload(signal));
    await unpack(upload, { ...unpackingOf(parts, order, signal), reader: parts.archives });
    return noHead;
  }
  const location = parseLocation(source.location);
  if (location.kind === 'artifact') {
    await fromArtifact(parts, order, location.reference, signal);
    return noHead;
  }
  if (location.kind === 'archive') {
    const { maxBytes } = contextLimits(order);
    const archive = await openRemoteArchive(parts, { url: location.url, maxBytes, signal });
    await unpack(only(archive), unpackingOf(parts, order, signal));
    return noHead;
  }
  return await fromGit(
    parts,
    { ...location, ref: source.commit ?? location.ref, accessToken: source.accessToken },
    signal,
  );
}

function unpackingOf({ cell, workspace }: ContextParts, order: RunOrder, signal: AbortSignal): Unpacking {
  return { cell, target: workspace, limits: contextLimits(order), signal };
}

/** Of the files of a run. */
export function contextLimits({ limits }: Pick<RunOrder, 'limits'>): ArchiveLimits {
  return { maxEntries, maxBytes: limits.diskMiB * mebibyte };
}

async function* only<Item>(item: Item): AsyncGenerator<Item> {
  yield item;
}

/** With the rights of the run in its own registry, with those that it was given elsewhere. */
async function fromArtifact(parts: ContextParts, order: RunOrder, text: string, signal: AbortSignal): Promise<void> {
  const address = parseArtifact(text);
  const { server } = address;
  const isOwn = hostsOf(order).includes(server.replace(/:\d+$/, ''));
  const own = isOwn ? openOwnRegistry(order, parts.clock) : undefined;
  try {
    const credential = order.credentials.find((each) => each.server.toLowerCase() === server);
    const { outbound } = parts;
    const read = createRepositoryReader({ registry: own ?? outbound, outbound, signal }, { ...address, credential });
    await unpack(archivesOfArtifact(read, address), unpackingOf(parts, order, signal));
  } finally {
    await own?.close();
  }
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
