import type { Clock } from '../platform/clock.ts';
import type { Outbound } from '../platform/outbound/outbound.ts';
import type { RunOrder } from '../wire/builds/agent-protocol.ts';
import { safeArchive } from './context/archive.ts';
import { fetchGit, type GitHead } from './context/git-context.ts';
import { parseLocation } from './context/location.ts';
import { openRemoteArchive } from './context/remote-archive.ts';
import type { Cell } from './executors/cell.ts';
import { createOutboundProxy } from './executors/outbound-proxy.ts';
import type { ProxyRules } from './executors/proxy-target.ts';
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
const noHead: GitHead = { commit: undefined, branch: undefined };

/** Brings the files of a run into its cell. Throws RunFailure. Source: ACR tasks, 1.3. */
export async function fetchContext(parts: ContextParts, order: RunOrder, signal: AbortSignal): Promise<GitHead> {
  const { source } = order;
  if (source.kind === 'none') return noHead;
  if (source.kind === 'upload') {
    await unpack(parts, order, await parts.upload(signal), signal);
    return noHead;
  }
  const location = parseLocation(source.location);
  if (location.kind === 'artifact') {
    throw new RunFailure('contexts of the form oci:// are not fetched by this agent: use a folder, git or an archive');
  }
  if (location.kind === 'archive') {
    const maxBytes = order.limits.diskMiB * mebibyte;
    const archive = await openRemoteArchive(parts, { url: location.url, maxBytes, signal });
    await unpack(parts, order, archive, signal);
    return noHead;
  }
  return await fromGit(
    parts,
    { ...location, ref: source.commit ?? location.ref, accessToken: source.accessToken },
    signal,
  );
}

async function unpack(
  { cell, workspace }: ContextParts,
  order: RunOrder,
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const input = safeArchive(archive, { maxEntries, maxBytes: order.limits.diskMiB * mebibyte });
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
