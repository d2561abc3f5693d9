import type { Cell } from '../executors/cell.ts';
import { ProgramError } from '../program.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import { requireRef, withoutSecrets } from './location.ts';

export type GitContext = {
  readonly url: string;
  readonly ref: string | undefined;
  readonly folder: string | undefined;
  readonly accessToken: string | undefined;
  /** Where the files shall be; an existing empty folder of the cell. */
  readonly target: string;
  /** Of the proxy through which git reaches the world. */
  readonly proxyUrl: string;
  readonly signal: AbortSignal;
};

export type GitHead = {
  readonly commit: string | undefined;
  readonly branch: string | undefined;
  /** Where the address named one. */
  readonly tag: string | undefined;
  /** Its address, without credentials. */
  readonly repository: string | undefined;
};

const maxNotesBytes = 1024 * 1024;

/**
 * Fetches a repository into the cell: the commit alone where the server allows, with its submodules and, where Git LFS keeps
 * files of it, those. Only http and https,
 * whatever the repository says of submodules. The credential goes to the repository's origin alone, and is in no argument;
 * with one, redirects are not followed, as git would take it along.
 * Throws RunFailure. Source: ACR tasks, 1.3; security rules 19 and 21.
 */
export async function fetchGit(cell: Cell, context: GitContext): Promise<GitHead> {
  const url = new URL(context.url);
  const credential = credentialOf(url, context.accessToken);
  url.username = '';
  url.password = '';
  const clone = `${cell.folder}/clone`;
  const redirects = ['-c', `http.followRedirects=${credential === undefined ? 'initial' : 'false'}`];
  const git = async (...words: readonly string[]) => {
    const program = { env: environmentOf(url, credential, context.proxyUrl), signal: context.signal };
    return (await cell.read(['git', '-C', clone, ...settings, ...redirects, ...words], program)).trim();
  };
  try {
    await cell.read(['git', 'init', '--quiet', clone]);
    await git('remote', 'add', 'origin', url.href);
    await fetchCommit(git, url.href, context.ref);
    await git('submodule', 'update', '--init', '--recursive', '--depth', '1', '--quiet');
    await fetchLargeFiles(git);
  } catch (cause) {
    context.signal.throwIfAborted();
    if (cause instanceof RunFailure) throw cause;
    throw new RunFailure(`cannot fetch ${withoutSecrets(url.href)}: ${shown(cause, credential)}`, { cause });
  }
  const head = {
    commit: await git('rev-parse', 'HEAD').catch(() => undefined),
    ...(await namedBy(cell, clone, context)),
    repository: url.href,
  };
  await moveFolder(cell, clone, context);
  return head;
}

type Git = (...words: readonly string[]) => Promise<string>;

const settings = [
  ...['-c', 'protocol.allow=never', '-c', 'protocol.https.allow=always', '-c', 'protocol.http.allow=always'],
  ...['-c', 'core.hooksPath=/dev/null', '-c', 'advice.detachedHead=false'],
  ...['-c', 'core.fsmonitor=false', '-c', 'credential.helper='],
];

async function fetchCommit(git: Git, url: string, ref: string | undefined): Promise<void> {
  requireRef(ref ?? '');
  const wanted = ref === undefined ? 'HEAD' : ref.startsWith('pull/') ? `refs/${ref}` : ref;
  try {
    await git('fetch', '--quiet', '--no-tags', '--depth', '1', '--', url, wanted);
    await git('checkout', '--quiet', 'FETCH_HEAD');
  } catch (cause) {
    // Servers refuse a commit by its id, and plain ones know no depth.
    if (ref === undefined || !(cause instanceof ProgramError)) throw cause;
    await git('fetch', '--quiet', '--tags', '--', url, '+refs/heads/*:refs/remotes/origin/*');
    await git('checkout', '--quiet', '--detach', ref);
  }
}

/**
 * The tag or the branch that was fetched: git notes of what kind each was. Neither for a commit by its id, in full or
 * abbreviated, and for a pull request. Source: git-fetch(1), FETCH_HEAD.
 */
async function namedBy(
  cell: Cell,
  clone: string,
  { ref = '', signal }: GitContext,
): Promise<Pick<GitHead, 'tag' | 'branch'>> {
  const words = ['head', '-c', String(maxNotesBytes), '--', `${clone}/.git/FETCH_HEAD`];
  const notes = ref === '' ? '' : await cell.read(words, { signal }).catch(() => '');
  // Git finds `heads/main` as it finds `refs/heads/main`. Source: gitrevisions(7).
  const named = (kind: 'tag' | 'branch', start: RegExp) =>
    [ref, ref.replace(start, '')].find((name) => notes.includes(`\t${kind} '${name}' of `));
  const tag = named('tag', /^(?:refs\/)?tags\//);
  return { tag, branch: tag === undefined ? named('branch', /^(?:refs\/)?heads\//) : undefined };
}

/** As `git lfs install` sets them: without, files are fetched and stay pointers. */
const largeFileSettings = [
  ...['-c', 'filter.lfs.clean=git-lfs clean -- %f', '-c', 'filter.lfs.smudge=git-lfs smudge -- %f'],
  ...['-c', 'filter.lfs.process=git-lfs filter-process', '-c', 'filter.lfs.required=true'],
];

/** Throws RunFailure where git-lfs is missing: what it keeps would be built as its pointers. */
async function fetchLargeFiles(git: Git): Promise<void> {
  const pointer = [
    '--quiet',
    '--cached',
    '--recurse-submodules',
    '-I',
    '-e',
    '^version https://git-lfs.github.com/spec/v1$',
  ];
  const hasPointers = await git('grep', ...pointer).then(
    () => true,
    () => false,
  );
  if (!hasPointers) return;
  await git('lfs', 'version').catch((cause: unknown) => {
    throw new RunFailure(
      "the repository keeps files with Git LFS, and the agent's machine has no git-lfs: install it there (apt-get install git-lfs)",
      { cause },
    );
  });
  await git(...largeFileSettings, 'lfs', 'pull');
  await git(...largeFileSettings, 'submodule', '--quiet', 'foreach', '--recursive', 'git lfs pull');
}

/**
 * What is in the address goes with the access token, as in `https://organization@dev.azure.com/…`. Without one a user name alone is a
 * token: it is sent as the password of the user `dummy`.
 */
function credentialOf(url: URL, accessToken: string | undefined): string | undefined {
  const [name, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  if (password !== '') return `${name}:${password}`;
  if (accessToken !== undefined) return `${name === '' ? 'dummy' : name}:${accessToken}`;
  return name === '' ? undefined : `dummy:${name}`;
}

function environmentOf(url: URL, credential: string | undefined, proxyUrl: string): Record<string, string> {
  const header =
    credential === undefined ? undefined : `Authorization: Basic ${Buffer.from(credential).toString('base64')}`;
  return {
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_NOSYSTEM: '1',
    http_proxy: proxyUrl,
    https_proxy: proxyUrl,
    ...(header === undefined
      ? {}
      : { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: `http.${url.origin}/.extraHeader`, GIT_CONFIG_VALUE_0: header }),
  };
}

/** What git said, without the credential. */
function shown(cause: unknown, credential: string | undefined): string {
  const text = cause instanceof ProgramError ? cause.output.trim() : reasonOf(cause);
  const [, ...secret] = credential?.split(':') ?? [];
  const hidden = secret.length === 0 ? text : text.replaceAll(secret.join(':'), '***');
  return withoutSecrets(hidden);
}

/** Links in the repository may lead anywhere: the folder is where they end, and must be in the repository. */
async function moveFolder(cell: Cell, clone: string, { folder = '.', target }: GitContext): Promise<void> {
  const source = (await cell.read(['realpath', '--', `${clone}/${folder}`]).catch(() => '')).trim();
  const isInside = source === clone || source.startsWith(`${clone}/`);
  const isFolder = isInside && (await cell.run(['test', '-d', source])) === 0;
  if (!isFolder) throw new RunFailure(`the repository has no folder ${folder}`);
  await cell.read(['rmdir', '--', target]);
  await cell.read(['mv', '-T', '--', source, target]);
  if (source !== clone) await cell.read(['rm', '-rf', '--', clone]);
}
