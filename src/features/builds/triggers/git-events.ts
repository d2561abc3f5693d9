import { z } from 'zod';

/** Something that happened in a git repository, whoever hosts it. */
export type GitEvent = {
  readonly eventType: 'commit' | 'pullrequest';
  /** Branch that has the commit, or that a pull request is for. */
  readonly branch: string;
  readonly commit: string;
  /** Commit that the branch had before; of a pull request nothing. */
  readonly before: string | undefined;
  readonly pullRequestId: string | undefined;
  /** Of a pull request whose commits lie in another repository, or may: its author need have no rights in this one. */
  readonly isFromFork: boolean;
  readonly defaultBranch: string | undefined;
  /** Addresses of the repository, as its host gives them. */
  readonly addresses: readonly string[];
};

export type GitProvider = 'github' | 'gitea' | 'gitlab' | 'azureRepos';

const branchStart = 'refs/heads/';
const commit = z.string().regex(/^[0-9a-f]{40,64}$/i);
const repositorySchema = z.looseObject({
  default_branch: z.string().optional(),
  clone_url: z.string().optional(),
  html_url: z.string().optional(),
});

const pushSchema = z.looseObject({
  ref: z.string(),
  before: z.string().optional(),
  after: commit,
  repository: repositorySchema,
});
/** Null where the repository is gone. */
const placeOfCommitSchema = z.looseObject({ id: z.int() }).nullish();
const pullRequestSchema = z.looseObject({
  action: z.string(),
  number: z.int(),
  pull_request: z.looseObject({
    head: z.looseObject({ sha: commit, repo: placeOfCommitSchema }),
    base: z.looseObject({ ref: z.string(), repo: placeOfCommitSchema }),
  }),
  repository: repositorySchema,
});

const projectSchema = z.looseObject({
  default_branch: z.string().nullish(),
  git_http_url: z.string().optional(),
  web_url: z.string().optional(),
});
const gitlabPushSchema = z.looseObject({
  ref: z.string(),
  before: z.string().optional(),
  after: commit,
  project: projectSchema,
});
const mergeRequestSchema = z.looseObject({
  project: projectSchema,
  object_attributes: z.looseObject({
    action: z.string().optional(),
    iid: z.int(),
    target_branch: z.string(),
    source_project_id: z.int().nullish(),
    target_project_id: z.int().nullish(),
    /** Of an update that brought commits. */
    oldrev: z.string().optional(),
    last_commit: z.looseObject({ id: commit }),
  }),
});

const azureRepositorySchema = z.looseObject({
  remoteUrl: z.string().optional(),
  defaultBranch: z.string().optional(),
});
const azurePushSchema = z.looseObject({
  resource: z.looseObject({
    refUpdates: z.array(z.looseObject({ name: z.string(), oldObjectId: z.string().optional(), newObjectId: commit })),
    repository: azureRepositorySchema,
  }),
});
const azurePullRequestSchema = z.looseObject({
  resource: z.looseObject({
    pullRequestId: z.int(),
    targetRefName: z.string(),
    lastMergeSourceCommit: z.looseObject({ commitId: commit }),
    /** Only of those from forks. */
    forkSource: z.unknown().optional(),
    repository: azureRepositorySchema,
  }),
});

/** Pull requests that bring other commits than before; labels and comments do not. */
const newCommits = ['opened', 'reopened', 'synchronize', 'synchronized'];

/** Who sends a message, by its headers (lower-case names); Azure Repos has none of its own. */
export function providerOf(headers: ReadonlyMap<string, string>): GitProvider {
  // Gitea sends the headers of GitHub besides its own.
  if (headers.has('x-gitea-event') || headers.has('x-forgejo-event')) return 'gitea';
  if (headers.has('x-github-event')) return 'github';
  return headers.has('x-gitlab-event') ? 'gitlab' : 'azureRepos';
}

/**
 * What a message of a provider tells of: nothing for what starts no task, such as tags, deleted branches, and messages of
 * another form. Sources: GitHub, Gitea, GitLab, Azure DevOps, "webhook events".
 */
export function gitEventsOf(provider: GitProvider, headers: ReadonlyMap<string, string>, body: unknown): GitEvent[] {
  switch (provider) {
    case 'github':
      return pushOrPullRequest(headers.get('x-github-event'), body);
    case 'gitea':
      return pushOrPullRequest(headers.get('x-gitea-event') ?? headers.get('x-forgejo-event'), body);
    case 'gitlab':
      return gitlabEvents(headers.get('x-gitlab-event'), body);
    case 'azureRepos':
      return azureEvents(body);
  }
}

function pushOrPullRequest(event: string | undefined, body: unknown): GitEvent[] {
  if (event === 'push') {
    const { data } = pushSchema.safeParse(body);
    return data === undefined ? [] : pushed({ ...data, ...ofRepository(data.repository) });
  }
  const { data } = pullRequestSchema.safeParse(event === 'pull_request' ? body : undefined);
  if (data === undefined || !newCommits.includes(data.action)) return [];
  const { head, base } = data.pull_request;
  const isFromFork = !isSame(head.repo?.id, base.repo?.id);
  const place = ofRepository(data.repository);
  return [pullRequest({ commit: head.sha, branch: base.ref, id: data.number, isFromFork, ...place })];
}

function ofRepository({ default_branch, clone_url, html_url }: z.infer<typeof repositorySchema>): Place {
  return { defaultBranch: default_branch, addresses: known(clone_url, html_url) };
}

function gitlabEvents(event: string | undefined, body: unknown): GitEvent[] {
  const ofProject = ({ default_branch, git_http_url, web_url }: z.infer<typeof projectSchema>): Place => ({
    defaultBranch: default_branch ?? undefined,
    addresses: known(git_http_url, web_url),
  });
  if (event === 'Push Hook') {
    const { data } = gitlabPushSchema.safeParse(body);
    return data === undefined ? [] : pushed({ ...data, ...ofProject(data.project) });
  }
  const { data } = mergeRequestSchema.safeParse(event === 'Merge Request Hook' ? body : undefined);
  if (data === undefined) return [];
  const { action = '', oldrev, last_commit, target_branch, iid, ...projects } = data.object_attributes;
  if (!['open', 'reopen'].includes(action) && !(action === 'update' && oldrev !== undefined)) return [];
  const isFromFork = !isSame(projects.source_project_id, projects.target_project_id);
  const place = ofProject(data.project);
  return [pullRequest({ commit: last_commit.id, branch: target_branch, id: iid, isFromFork, ...place })];
}

function azureEvents(body: unknown): GitEvent[] {
  const { data: head } = z.looseObject({ eventType: z.string() }).safeParse(body);
  const of = ({ remoteUrl, defaultBranch }: z.infer<typeof azureRepositorySchema>): Place => ({
    defaultBranch: defaultBranch === undefined ? undefined : branchOf(defaultBranch),
    addresses: known(remoteUrl),
  });
  if (head?.eventType === 'git.push') {
    const { data } = azurePushSchema.safeParse(body);
    const { refUpdates = [], repository = {} } = data?.resource ?? {};
    return refUpdates.flatMap(({ name, oldObjectId, newObjectId }) =>
      pushed({ ref: name, before: oldObjectId, after: newObjectId, ...of(repository) }),
    );
  }
  const isPullRequest = ['git.pullrequest.created', 'git.pullrequest.updated'].includes(head?.eventType ?? '');
  const { data } = azurePullRequestSchema.safeParse(isPullRequest ? body : undefined);
  if (data === undefined) return [];
  const { pullRequestId, targetRefName, lastMergeSourceCommit, forkSource, repository } = data.resource;
  const branch = branchOf(targetRefName) ?? targetRefName;
  const isFromFork = Boolean(forkSource);
  const { commitId } = lastMergeSourceCommit;
  return [pullRequest({ commit: commitId, branch, id: pullRequestId, isFromFork, ...of(repository) })];
}

type Place = Pick<GitEvent, 'defaultBranch' | 'addresses'>;

/** A branch that is deleted has no commit: only zeros. */
function pushed(
  push: Place & { readonly ref: string; readonly before?: string | undefined; readonly after: string },
): GitEvent[] {
  const branch = branchOf(push.ref);
  if (branch === undefined || /^0+$/.test(push.after)) return [];
  const { after, before, defaultBranch, addresses } = push;
  const ofPush = { eventType: 'commit', pullRequestId: undefined, isFromFork: false } as const;
  return [{ ...ofPush, branch, commit: after, before, defaultBranch, addresses }];
}

function pullRequest({
  id,
  ...rest
}: Place & Pick<GitEvent, 'branch' | 'commit' | 'isFromFork'> & { readonly id: number }): GitEvent {
  return { ...rest, eventType: 'pullrequest', before: undefined, pullRequestId: String(id) };
}

/** Not the same where one is not told. */
function isSame(a: number | null | undefined, b: number | null | undefined): boolean {
  return typeof a === 'number' && a === b;
}

function branchOf(ref: string): string | undefined {
  return ref.startsWith(branchStart) ? ref.slice(branchStart.length) : undefined;
}

function known(...addresses: readonly (string | undefined)[]): string[] {
  return addresses.filter((each) => each !== undefined);
}
