import { z } from 'zod';
import { askProvider, type Caller, ProviderError } from './provider-call.ts';

export type SubscriptionRequest = {
  /** `https://dev.azure.com`, or `https://organization.visualstudio.com`. */
  readonly origin: string;
  /** `organization/project/_git/repository`, without the organization where the origin names it. */
  readonly path: string;
  readonly authorization: string;
  readonly callUrl: string;
  readonly secret: string;
};

/** What tells of commits and of pull requests; a subscription knows one kind of event. */
const wanted = [
  { eventType: 'git.push', inputs: { branch: '', pushedBy: '' } },
  { eventType: 'git.pullrequest.created', inputs: { branch: '', pullrequestCreatedBy: '' } },
  // Only new commits of it, not votes and reviewers.
  { eventType: 'git.pullrequest.updated', inputs: { branch: '', notificationType: 'PushNotification' } },
] as const;

const repositorySchema = z.looseObject({ id: z.string(), project: z.looseObject({ id: z.string() }) });
const madeSchema = z.looseObject({ id: z.string() });
const listSchema = z.looseObject({
  value: z.array(z.looseObject({ id: z.string(), consumerInputs: z.looseObject({ url: z.string().optional() }) })),
});

/**
 * Has Azure Repos call for commits and pull requests; answers the addresses of the subscriptions. Those that are there are kept.
 * Throws ProviderError. Source: Azure DevOps Services REST API, "Service hooks: Subscriptions"; "Service hooks events".
 */
export async function subscribeAtAzure(outbound: Caller, request: SubscriptionRequest): Promise<string[]> {
  const { origin, path, authorization } = request;
  const [before = '', name = ''] = path.split('/_git/');
  const parts = before.split('/');
  const organization = origin.endsWith('.visualstudio.com') ? origin : `${origin}/${parts[0] ?? ''}`;
  const project = parts.at(-1) ?? '';
  const at = `${organization}/${encodeURIComponent(project)}/_apis/git/repositories/${encodeURIComponent(name)}?${version}`;
  const credentials = { authorization };
  const found = repositorySchema.safeParse(await askProvider(outbound, { method: 'GET', url: at, credentials }));
  if (!found.success) throw new ProviderError(`${new URL(at).host} does not say which repository ${name} is`);
  const url = `${organization}/_apis/hooks/subscriptions`;
  const urls: string[] = [];
  for (const { eventType, inputs } of wanted) {
    const repository = { projectId: found.data.project.id, repository: found.data.id };
    const id =
      (await findSubscription(outbound, url, eventType, request)) ??
      (await subscribe(outbound, url, { eventType, publisherInputs: { ...repository, ...inputs } }, request));
    urls.push(`${url}/${encodeURIComponent(id)}?${version}`);
  }
  return urls;
}

const version = 'api-version=7.0';

async function findSubscription(
  outbound: Caller,
  url: string,
  eventType: string,
  { authorization, callUrl }: SubscriptionRequest,
): Promise<string | undefined> {
  const query = `publisherId=tfs&eventType=${eventType}&consumerId=webHooks&consumerActionId=httpRequest&${version}`;
  const asked = { method: 'GET', url: `${url}?${query}`, credentials: { authorization } } as const;
  const list = listSchema.safeParse(await askProvider(outbound, asked));
  return list.data?.value.find(({ consumerInputs }) => consumerInputs.url === callUrl)?.id;
}

async function subscribe(
  outbound: Caller,
  url: string,
  what: { readonly eventType: string; readonly publisherInputs: Readonly<Record<string, string>> },
  { authorization, callUrl, secret }: SubscriptionRequest,
): Promise<string> {
  const body = {
    publisherId: 'tfs',
    resourceVersion: '1.0',
    consumerId: 'webHooks',
    consumerActionId: 'httpRequest',
    ...what,
    consumerInputs: { url: callUrl, basicAuthUsername: 'berth', basicAuthPassword: secret },
  };
  const asked = { method: 'POST', url: `${url}?${version}`, credentials: { authorization }, body } as const;
  const made = madeSchema.safeParse(await askProvider(outbound, asked));
  if (made.success) return made.data.id;
  throw new ProviderError(`${new URL(url).host} made a webhook and did not say which`);
}
