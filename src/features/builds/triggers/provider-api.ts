import { z } from 'zod';
import type { Headers, Outbound } from '../../../platform/outbound/outbound.ts';
import { OutboundError } from '../../../platform/outbound/outbound-error.ts';
import { repositoryKey } from '../tasks/task-sources.ts';
import type { GitProvider } from './git-events.ts';

/** A webhook that a provider has for us, and how it is removed there. */
export const providerHookSchema = z.object({ url: z.string(), header: z.string(), scheme: z.string() });
export type ProviderHook = z.infer<typeof providerHookSchema>;

/** A provider that said no, or cannot be asked: why, for whoever set up the task. */
export class ProviderError extends Error {}

export type HookRequest = {
  readonly repositoryUrl: string;
  readonly token: string;
  /** Address that the provider is to call, and what it signs with. */
  readonly callUrl: string;
  readonly secret: string;
};

type Caller = Pick<Outbound, 'call'>;

const maxBytes = 1024 * 1024;
const timeoutMs = 20_000;
const gone = [404, 410];

/**
 * Has the host of a repository call us for commits and pull requests, with the access token of the task. Throws ProviderError.
 * Sources: GitHub REST API "Repository webhooks"; Gitea API; GitLab "Project webhooks API"; Azure DevOps "Subscriptions".
 */
export async function createProviderHook(outbound: Caller, request: HookRequest): Promise<ProviderHook> {
  const repository = parseRepository(request.repositoryUrl);
  switch (await findProvider(outbound, repository)) {
    case 'github':
      return await createGithub(outbound, repository, request);
    case 'gitea':
      return await createGitea(outbound, repository, request);
    case 'gitlab':
      return await createGitlab(outbound, repository, request);
    case 'azureRepos':
      return await createAzure(outbound, repository, request);
  }
}

/** One that is not there any more is removed too. Throws ProviderError. */
export async function removeProviderHook(outbound: Caller, hook: ProviderHook, token: string): Promise<void> {
  await ask(outbound, 'DELETE', hook.url, {
    [hook.header]: hook.scheme === 'basic' ? basic(token) : hook.scheme + token,
  });
}

type Repository = { readonly origin: string; readonly host: string; readonly path: string };

function parseRepository(address: string): Repository {
  const url = URL.parse(repositoryKey(address).replace(/^git@([^:]+):/, 'https://$1/'));
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new ProviderError('webhooks are made only where the repository has an http or https address');
  // The key is in lower case, and hosts do not mind; paths of Azure Repos have spaces.
  return { origin: url.origin, host: url.hostname, path: decodeURI(url.pathname).replace(/^\//, '') };
}

/** Known hosts by their names, others by what they answer. */
async function findProvider(outbound: Caller, { origin, host }: Repository): Promise<GitProvider> {
  if (host === 'github.com') return 'github';
  if (host === 'gitlab.com') return 'gitlab';
  if (host === 'dev.azure.com' || host.endsWith('.visualstudio.com')) return 'azureRepos';
  if (await answers(outbound, `${origin}/api/v1/version`, [200])) return 'gitea';
  if (await answers(outbound, `${origin}/api/v3/meta`, [200])) return 'github';
  // GitLab tells its version only to who is signed in.
  if (await answers(outbound, `${origin}/api/v4/version`, [200, 401])) return 'gitlab';
  throw new ProviderError(
    `${host} is none of the hosts whose webhooks can be made: GitHub, GitLab, Gitea, Azure Repos`,
  );
}

async function answers(outbound: Caller, url: string, statuses: readonly number[]): Promise<boolean> {
  const response = await call(outbound, { url, maxBytes, timeoutMs });
  await response.discard();
  return statuses.includes(response.status) && (response.headers.get('content-type') ?? '').includes('json');
}

async function createGithub(
  outbound: Caller,
  { origin, host, path }: Repository,
  request: HookRequest,
): Promise<ProviderHook> {
  const api = host === 'github.com' ? 'https://api.github.com' : `${origin}/api/v3`;
  const config = { url: request.callUrl, content_type: 'json', secret: request.secret };
  const body = { name: 'web', active: true, events: ['push', 'pull_request'], config };
  const url = `${api}/repos/${path}/hooks`;
  const { id } = await make(outbound, url, { authorization: `Bearer ${request.token}` }, body);
  return { url: `${url}/${id}`, header: 'authorization', scheme: 'Bearer ' };
}

async function createGitea(
  outbound: Caller,
  { origin, path }: Repository,
  request: HookRequest,
): Promise<ProviderHook> {
  const config = { url: request.callUrl, content_type: 'json', secret: request.secret };
  const body = { type: 'gitea', active: true, events: ['push', 'pull_request', 'pull_request_sync'], config };
  const url = `${origin}/api/v1/repos/${path}/hooks`;
  const { id } = await make(outbound, url, { authorization: `token ${request.token}` }, body);
  return { url: `${url}/${id}`, header: 'authorization', scheme: 'token ' };
}

async function createGitlab(
  outbound: Caller,
  { origin, path }: Repository,
  request: HookRequest,
): Promise<ProviderHook> {
  const body = { url: request.callUrl, token: request.secret, push_events: true, merge_requests_events: true };
  const url = `${origin}/api/v4/projects/${encodeURIComponent(path)}/hooks`;
  const { id } = await make(outbound, url, { 'private-token': request.token }, body);
  return { url: `${url}/${id}`, header: 'private-token', scheme: '' };
}

const azureRepositorySchema = z.looseObject({ id: z.string(), project: z.looseObject({ id: z.string() }) });

/** One subscription knows one kind of event: commits, which are what the service makes tasks wait for. */
async function createAzure(
  outbound: Caller,
  { origin, path }: Repository,
  request: HookRequest,
): Promise<ProviderHook> {
  const [before = '', name = ''] = path.split('/_git/');
  const parts = before.split('/');
  const organization = origin.endsWith('.visualstudio.com') ? origin : `${origin}/${parts[0] ?? ''}`;
  const project = parts.at(-1) ?? '';
  const credentials = { authorization: basic(request.token) };
  const at = `${organization}/${encodeURIComponent(project)}/_apis/git/repositories/${encodeURIComponent(name)}?api-version=7.0`;
  const repository = azureRepositorySchema.parse(await ask(outbound, 'GET', at, credentials));
  const body = {
    publisherId: 'tfs',
    eventType: 'git.push',
    resourceVersion: '1.0',
    consumerId: 'webHooks',
    consumerActionId: 'httpRequest',
    publisherInputs: { projectId: repository.project.id, repository: repository.id, branch: '', pushedBy: '' },
    consumerInputs: { url: request.callUrl, basicAuthUsername: 'berth', basicAuthPassword: request.secret },
  };
  const url = `${organization}/_apis/hooks/subscriptions`;
  const { id } = await make(outbound, `${url}?api-version=7.0`, credentials, body);
  return { url: `${url}/${id}?api-version=7.0`, header: 'authorization', scheme: 'basic' };
}

const madeSchema = z.looseObject({ id: z.union([z.string(), z.number()]) });

async function make(
  outbound: Caller,
  url: string,
  credentials: Headers,
  body: object,
): Promise<z.infer<typeof madeSchema>> {
  const made = madeSchema.safeParse(await ask(outbound, 'POST', url, credentials, body));
  if (made.success) return made.data;
  throw new ProviderError(`${new URL(url).host} made a webhook and did not say which`);
}

async function ask(
  outbound: Caller,
  method: 'GET' | 'POST' | 'DELETE',
  url: string,
  credentials: Headers,
  body?: object,
): Promise<unknown> {
  const response = await call(outbound, {
    url,
    method,
    headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) },
    credentials,
    ...(body && { body: JSON.stringify(body) }),
    maxBytes,
    timeoutMs,
    totalTimeoutMs: 2 * timeoutMs,
  });
  const pieces: Uint8Array[] = [];
  for await (const piece of response.body) pieces.push(piece);
  const isDone = response.status < 300 || (method === 'DELETE' && gone.includes(response.status));
  if (!isDone)
    throw new ProviderError(
      `${new URL(url).host} answered ${response.status}: check that the access token may administer webhooks of the repository`,
    );
  const text = Buffer.concat(pieces).toString('utf8');
  return text === '' || method === 'DELETE' ? undefined : parse(text, url);
}

async function call(outbound: Caller, request: Parameters<Caller['call']>[0]): ReturnType<Caller['call']> {
  try {
    return await outbound.call({ maxRedirects: 0, ...request });
  } catch (error) {
    if (error instanceof OutboundError)
      throw new ProviderError(`${new URL(request.url).host}: ${error.message}`, { cause: error });
    throw error;
  }
}

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ProviderError(`${new URL(url).host} answered something that is no JSON`);
  }
}

function basic(token: string): string {
  return `Basic ${Buffer.from(`:${token}`).toString('base64')}`;
}
