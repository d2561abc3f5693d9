import { z } from 'zod';
import type { Headers } from '../../../platform/outbound/outbound.ts';
import { repositoryKey } from '../tasks/task-sources.ts';
import { subscribeAtAzure } from './azure-subscriptions.ts';
import type { GitProvider } from './git-events.ts';
import { answersProvider, askProvider, type Caller, ProviderError } from './provider-call.ts';
import { decodedPath } from './repository-path.ts';

/** What a provider has for us, and how it is removed there; `others` where one webhook is several things. */
export const providerHookSchema = z.object({
  url: z.string(),
  others: z.array(z.string()).exactOptional(),
  header: z.string(),
  scheme: z.string(),
});
export type ProviderHook = z.infer<typeof providerHookSchema>;

export type HookRequest = {
  readonly repositoryUrl: string;
  readonly token: string;
  /** Address that the provider is to call, and what it signs with. */
  readonly callUrl: string;
  readonly secret: string;
};

/**
 * Has the host of a repository call us for commits and pull requests, with the access token of the task. A webhook of ours
 * that is there, as this server ended before it had written it down, is kept. Throws ProviderError.
 * Sources: GitHub REST API "Repository webhooks"; Gitea API; GitLab "Project webhooks API"; Azure DevOps "Subscriptions".
 */
export async function createProviderHook(outbound: Caller, request: HookRequest): Promise<ProviderHook> {
  const repository = parseRepository(request.repositoryUrl);
  const provider = await findProvider(outbound, repository);
  if (provider !== 'azureRepos')
    return await createWebhook(outbound, webhookOf(provider, repository, request), request);
  const authorization = basic(request.token);
  const [url = '', ...others] = await subscribeAtAzure(outbound, { ...repository, ...request, authorization });
  return { url, others, header: 'authorization', scheme: 'basic' };
}

/** One that is not there any more is removed too. Throws ProviderError. */
export async function removeProviderHook(
  outbound: Caller,
  { url, others = [], header, scheme }: ProviderHook,
  token: string,
): Promise<void> {
  const credentials = { [header]: scheme === 'basic' ? basic(token) : scheme + token };
  for (const each of [url, ...others]) await askProvider(outbound, { method: 'DELETE', url: each, credentials });
}

type Repository = { readonly origin: string; readonly host: string; readonly path: string };

function parseRepository(address: string): Repository {
  const url = URL.parse(repositoryKey(address).replace(/^git@([^:]+):/, 'https://$1/'));
  // The key is in lower case, and hosts do not mind; paths of Azure Repos have spaces.
  const path = decodedPath(url?.pathname ?? '');
  if (url === null || path === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new ProviderError('webhooks are made only where the repository has an http or https address');
  return { origin: url.origin, host: url.hostname, path: path.replace(/^\//, '') };
}

/** Known hosts by their names, others by what they answer. */
async function findProvider(outbound: Caller, { origin, host }: Repository): Promise<GitProvider> {
  if (host === 'github.com') return 'github';
  if (host === 'gitlab.com') return 'gitlab';
  if (host === 'dev.azure.com' || host.endsWith('.visualstudio.com')) return 'azureRepos';
  if (await answersProvider(outbound, `${origin}/api/v1/version`, [200])) return 'gitea';
  if (await answersProvider(outbound, `${origin}/api/v3/meta`, [200])) return 'github';
  // GitLab tells its version only to who is signed in.
  if (await answersProvider(outbound, `${origin}/api/v4/version`, [200, 401])) return 'gitlab';
  throw new ProviderError(
    `${host} is none of the hosts whose webhooks can be made: GitHub, GitLab, Gitea, Azure Repos`,
  );
}

/** How one provider has webhooks. */
type Webhook = {
  /** Where they are listed and made; each is below it. */
  readonly url: string;
  /** For as many as a list gives. */
  readonly listQuery: string;
  readonly header: string;
  readonly scheme: string;
  readonly body: object;
};

function webhookOf(
  provider: Exclude<GitProvider, 'azureRepos'>,
  { origin, host, path }: Repository,
  { callUrl, secret }: HookRequest,
): Webhook {
  const config = { url: callUrl, content_type: 'json', secret };
  switch (provider) {
    case 'github':
      return {
        url: `${host === 'github.com' ? 'https://api.github.com' : `${origin}/api/v3`}/repos/${path}/hooks`,
        listQuery: 'per_page=100',
        header: 'authorization',
        scheme: 'Bearer ',
        body: { name: 'web', active: true, events: ['push', 'pull_request'], config },
      };
    case 'gitea':
      return {
        url: `${origin}/api/v1/repos/${path}/hooks`,
        listQuery: 'limit=100',
        header: 'authorization',
        scheme: 'token ',
        body: { type: 'gitea', active: true, events: ['push', 'pull_request', 'pull_request_sync'], config },
      };
    case 'gitlab':
      return {
        url: `${origin}/api/v4/projects/${encodeURIComponent(path)}/hooks`,
        listQuery: 'per_page=100',
        header: 'private-token',
        scheme: '',
        body: { url: callUrl, token: secret, push_events: true, merge_requests_events: true },
      };
  }
}

const idSchema = z.union([z.string(), z.number()]);
const madeSchema = z.looseObject({ id: idSchema });
const listSchema = z.array(
  z.looseObject({
    id: idSchema,
    url: z.string().nullish(),
    config: z.looseObject({ url: z.string().nullish() }).nullish(),
  }),
);

async function createWebhook(
  outbound: Caller,
  { url, listQuery, header, scheme, body }: Webhook,
  { token, callUrl }: HookRequest,
): Promise<ProviderHook> {
  const credentials: Headers = { [header]: scheme + token };
  const list = await askProvider(outbound, { method: 'GET', url: `${url}?${listQuery}`, credentials });
  const known = listSchema.safeParse(list).data?.find((each) => (each.config?.url ?? each.url) === callUrl);
  const made =
    known ?? madeSchema.safeParse(await askProvider(outbound, { method: 'POST', url, credentials, body })).data;
  if (made === undefined) throw new ProviderError(`${new URL(url).host} made a webhook and did not say which`);
  return { url: `${url}/${encodeURIComponent(made.id)}`, header, scheme };
}

function basic(token: string): string {
  return `Basic ${Buffer.from(`:${token}`).toString('base64')}`;
}
