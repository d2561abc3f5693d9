import type { Outbound } from '../../../platform/outbound/outbound.ts';
import { OutboundError } from '../../../platform/outbound/outbound-error.ts';
import { credentialsOf } from './repository-path.ts';

/** The branches of a repository and their commits. */
export type RemoteHeads = {
  readonly branches: Readonly<Record<string, string>>;
  readonly defaultBranch: string | undefined;
};

/** A repository that cannot be looked at: why, for whoever set it up; never with a secret in it. */
export class RemoteError extends Error {}

const maxBytes = 16 * 1024 * 1024;
const timeoutMs = 20_000;
const branchStart = 'refs/heads/';

/**
 * What a git server says of its branches, over smart HTTP. A token goes as a password, to that server alone; without one, what
 * stands in the address. Throws RemoteError. Source: gitprotocol-http, "Discovering references".
 */
export async function readHeads(
  outbound: Pick<Outbound, 'call'>,
  repositoryUrl: string,
  token: string | undefined,
): Promise<RemoteHeads> {
  const base = (repositoryUrl.split('#')[0] ?? '').replace(/\/+$/, '');
  const url = URL.parse(base);
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new RemoteError('only repositories with an http or https address can be looked at');
  // Hosts look at the password; the name is for form's sake.
  const credentials = token === undefined ? credentialsOf(url) : `git:${token}`;
  url.username = '';
  url.password = '';
  const heads = `${url.href.replace(/\/+$/, '')}/info/refs?service=git-upload-pack`;
  return parseHeads(await fetchText(outbound, heads, credentials));
}

async function fetchText(
  outbound: Pick<Outbound, 'call'>,
  url: string,
  credentials: string | undefined,
): Promise<string> {
  try {
    const response = await outbound.call({
      url,
      headers: { accept: 'application/x-git-upload-pack-advertisement' },
      ...(credentials === undefined ? {} : { credentials: { authorization: basic(credentials) } }),
      maxBytes,
      timeoutMs,
      totalTimeoutMs: 2 * timeoutMs,
    });
    if (response.status !== 200) {
      await response.discard();
      throw new RemoteError(`the git server answered ${response.status}`);
    }
    const pieces: Uint8Array[] = [];
    for await (const piece of response.body) pieces.push(piece);
    return Buffer.concat(pieces).toString('utf8');
  } catch (error) {
    if (error instanceof OutboundError) throw new RemoteError(error.message, { cause: error });
    throw error;
  }
}

function basic(credentials: string): string {
  return `Basic ${Buffer.from(credentials).toString('base64')}`;
}

/** Lines with their length in front. Source: gitprotocol-common, "pkt-line format". */
function parseHeads(text: string): RemoteHeads {
  const branches: Record<string, string> = Object.create(null);
  let defaultBranch: string | undefined;
  for (const line of packetLines(Buffer.from(text, 'utf8'))) {
    const [reference = '', capabilities = ''] = line.split('\0');
    const head = /(?:^| )symref=HEAD:refs\/heads\/([^ \n]+)/.exec(capabilities)?.[1];
    defaultBranch ??= head;
    const [, commit, name = ''] = /^([0-9a-f]{40,64}) (.+?)\n?$/.exec(reference) ?? [];
    if (commit !== undefined && name.startsWith(branchStart)) branches[name.slice(branchStart.length)] = commit;
  }
  return { branches: { ...branches }, defaultBranch };
}

function* packetLines(bytes: Buffer): Generator<string> {
  let at = 0;
  while (at + 4 <= bytes.length) {
    const lengthText = bytes.toString('latin1', at, at + 4);
    const length = /^[0-9a-f]{4}$/i.test(lengthText) ? Number.parseInt(lengthText, 16) : Number.NaN;
    if (Number.isNaN(length) || at + length > bytes.length)
      throw new RemoteError('the answer is not that of a git server with smart HTTP');
    if (length > 4) yield bytes.toString('utf8', at + 4, at + length);
    at += Math.max(length, 4);
  }
  if (at === 0) throw new RemoteError('the answer is not that of a git server with smart HTTP');
}
