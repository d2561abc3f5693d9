import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, request as requestOf, type ServerResponse } from 'node:http';
import { freePort } from './free-port.ts';
import { GitServer } from './git-server.ts';

export type GitHostKind = 'gitea' | 'github' | 'gitlab' | 'azureRepos';

/** A webhook as the host has it. */
export type HostedHook = { readonly url: string; readonly secret: string; readonly events: readonly string[] };

type Push = { readonly branch: string; readonly before: string; readonly after: string };
type PullRequest = {
  readonly branch: string;
  readonly head: string;
  readonly number: number;
  readonly isFork: boolean;
};
type Message = { readonly event: string; readonly headers: Readonly<Record<string, string>>; readonly body: object };

/**
 * A small host of one git repository on loopback: smart HTTP with git's own `http-backend`, the webhook API of its kind,
 * and deliveries signed as that kind signs them. Whoever calls it needs the access token; to read a public repository nobody does.
 */
export class GitHost implements AsyncDisposable {
  readonly kind: GitHostKind;
  /** What people clone: `http://…/team/app.git`, or the form of Azure Repos. */
  readonly cloneUrl: string;
  readonly port: number;
  readonly hooks = new Map<string, HostedHook>();
  readonly #git: GitServer;
  readonly #token: string;
  readonly #close: () => Promise<void>;
  #head = '0'.repeat(40);
  #nextId = 1;

  private constructor(parts: {
    readonly kind: GitHostKind;
    readonly port: number;
    readonly token: string;
    readonly git: GitServer;
    readonly close: () => Promise<void>;
  }) {
    this.kind = parts.kind;
    this.port = parts.port;
    this.#token = parts.token;
    this.#git = parts.git;
    this.#close = parts.close;
    const { origin, path } = placeOf(parts.kind, parts.port);
    this.cloneUrl = `${origin}/${path}`;
  }

  /** The repository lies in `folder`; a public one is fetched without the token. A host of the kind `azureRepos` is known as dev.azure.com: calls to it are to be sent to `port`. */
  static async start(kind: GitHostKind, folder: string, token: string, { isPublic = false } = {}): Promise<GitHost> {
    const port = await freePort();
    const git = await GitServer.start(folder, isPublic ? undefined : token);
    const server = createServer((request, response) => {
      const isGit = /\/(info\/refs|git-(upload|receive)-pack)(\?|$)/.test(request.url ?? '');
      if (isGit) forward(git.origin, request, response);
      else void host.#answer(request, response);
    });
    const close = async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await git[Symbol.asyncDispose]();
    };
    const host = new GitHost({ kind, port, token, git, close });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return host;
  }

  /** A commit on a branch, told to whoever has a webhook; answers its id and what they said, as statuses. */
  async push(branch: string, files: Readonly<Record<string, string>>, times = 1) {
    const before = this.#head;
    const after = await this.#git.commit(repositoryOf(this.kind), branch, files);
    this.#head = after;
    return { commit: after, statuses: await this.deliverPush({ branch, before, after }, { times }) };
  }

  /** Tells of a push again, or for the first time; `secret` is what the message is signed with instead of the hook's own. */
  async deliverPush(push: Push, how: { readonly times?: number; readonly secret?: string } = {}): Promise<number[]> {
    return await this.#deliver(pushMessage(this.kind, this.cloneUrl, push), how);
  }

  async deliverPullRequest(pull: PullRequest): Promise<number[]> {
    return await this.#deliver(pullRequestMessage(this.kind, this.cloneUrl, pull), {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #deliver(
    { event, headers, body }: Message,
    { times = 1, secret }: { readonly times?: number; readonly secret?: string },
  ): Promise<number[]> {
    const text = JSON.stringify(body);
    const statuses: number[] = [];
    for (const hook of this.hooks.values())
      for (let time = 0; time < (hook.events.includes(event) ? times : 0); time += 1) {
        const signed = { ...headers, ...signatureOf(this.kind, text, secret ?? hook.secret) };
        const answer = await fetch(hook.url, { method: 'POST', headers: signed, body: text });
        await answer.body?.cancel();
        statuses.push(answer.status);
      }
    return statuses;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    const json = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const { version, hooks, authorization } = apiOf(this.kind, this.#token);
    if (path === version) return void json(200, { version: '1', verifiable_password_authentication: false });
    if ((request.headers.authorization ?? request.headers['private-token']) !== authorization)
      return void json(404, {});
    if (path === azureRepository) return void json(200, { id: 'repository-1', project: { id: 'project-1' } });
    const [place = '', query = ''] = path.split('?');
    if (place === hooks && request.method === 'POST') {
      const id = String(this.#nextId++);
      this.hooks.set(id, hookOf(this.kind, JSON.parse(await readBody(request))));
      return void json(201, { id: this.kind === 'azureRepos' ? `subscription-${id}` : Number(id) });
    }
    if (place === hooks && request.method === 'GET') return void json(200, this.#list(query));
    const id = place.startsWith(`${hooks}/`) ? place.slice(hooks.length + 1).replace('subscription-', '') : '';
    if (request.method === 'DELETE' && this.hooks.delete(id)) return void response.writeHead(204).end();
    json(404, {});
  }

  /** GitLab calls `url` what others have in the configuration. */
  #list(query: string): unknown {
    const hooks = [...this.hooks];
    if (this.kind === 'gitlab') return hooks.map(([id, { url }]) => ({ id: Number(id), url }));
    if (this.kind !== 'azureRepos')
      return hooks.map(([id, { url }]) => ({ id: Number(id), url: `${this.cloneUrl}/hooks/${id}`, config: { url } }));
    const wanted = new URLSearchParams(query).get('eventType') ?? '';
    const value = hooks
      .filter(([, { events }]) => events.includes(wanted))
      .map(([id, { url }]) => ({ id: `subscription-${id}`, consumerInputs: { url } }));
    return { count: value.length, value };
  }
}

const azureRepository = '/org/my%20project/_apis/git/repositories/app?api-version=7.0';

function placeOf(kind: GitHostKind, port: number): { readonly origin: string; readonly path: string } {
  return kind === 'azureRepos'
    ? { origin: 'http://dev.azure.com', path: repositoryOf(kind) }
    : { origin: `http://127.0.0.1:${port}`, path: repositoryOf(kind) };
}

function repositoryOf(kind: GitHostKind): string {
  return kind === 'azureRepos' ? 'org/my%20project/_git/app' : 'team/app.git';
}

/** Sources: Gitea API, GitHub REST API (as an Enterprise Server has it), GitLab API, Azure DevOps Services REST API. */
function apiOf(kind: GitHostKind, token: string) {
  switch (kind) {
    case 'gitea':
      return {
        version: '/api/v1/version',
        hooks: '/api/v1/repos/team/app/hooks',
        authorization: `token ${token}`,
      };
    case 'github':
      return { version: '/api/v3/meta', hooks: '/api/v3/repos/team/app/hooks', authorization: `Bearer ${token}` };
    case 'gitlab':
      return { version: '/api/v4/version', hooks: '/api/v4/projects/team%2Fapp/hooks', authorization: token };
    case 'azureRepos':
      return {
        version: 'none',
        hooks: '/org/_apis/hooks/subscriptions',
        authorization: `Basic ${Buffer.from(`:${token}`).toString('base64')}`,
      };
  }
}

type HookBody = {
  readonly url?: string;
  readonly token?: string;
  readonly config?: { readonly url: string; readonly secret: string };
  readonly events?: readonly string[];
  readonly push_events?: boolean;
  readonly merge_requests_events?: boolean;
  readonly eventType?: string;
  readonly consumerInputs?: { readonly url: string; readonly basicAuthPassword: string };
};

function hookOf(kind: GitHostKind, { url = '', token = '', config, events = [], ...more }: HookBody): HostedHook {
  if (kind === 'azureRepos') {
    const { url: address = '', basicAuthPassword: secret = '' } = more.consumerInputs ?? {};
    return { url: address, secret, events: [more.eventType ?? ''] };
  }
  if (kind !== 'gitlab') return { url: config?.url ?? '', secret: config?.secret ?? '', events };
  const wanted = [
    ...(more.push_events === true ? ['push'] : []),
    ...(more.merge_requests_events === true ? ['pull_request'] : []),
  ];
  return { url, secret: token, events: wanted };
}

function pushMessage(kind: GitHostKind, cloneUrl: string, { branch, before, after }: Push): Message {
  const ref = `refs/heads/${branch}`;
  switch (kind) {
    case 'gitea':
      return {
        event: 'push',
        headers: { 'x-gitea-event': 'push', 'x-github-event': 'push' },
        body: { ref, before, after, repository: { clone_url: cloneUrl, default_branch: 'main' } },
      };
    case 'github':
      return {
        event: 'push',
        headers: { 'x-github-event': 'push' },
        body: { ref, before, after, repository: { clone_url: cloneUrl, default_branch: 'main' } },
      };
    case 'gitlab':
      return {
        event: 'push',
        headers: { 'x-gitlab-event': 'Push Hook' },
        body: { ref, before, after, project: { git_http_url: cloneUrl, default_branch: 'main' } },
      };
    case 'azureRepos': {
      const repository = { remoteUrl: cloneUrl, defaultBranch: 'refs/heads/main' };
      const resource = { refUpdates: [{ name: ref, oldObjectId: before, newObjectId: after }], repository };
      return { event: 'git.push', headers: {}, body: { eventType: 'git.push', resource } };
    }
  }
}

function pullRequestMessage(kind: GitHostKind, cloneUrl: string, pull: PullRequest): Message {
  const { branch, head, number, isFork } = pull;
  const repository = { id: 1, clone_url: cloneUrl, default_branch: 'main' };
  switch (kind) {
    case 'gitea':
    case 'github': {
      const base = { ref: branch, repo: { id: 1 } };
      const pull_request = { head: { sha: head, repo: { id: isFork ? 2 : 1 } }, base };
      const headers =
        kind === 'gitea'
          ? { 'x-gitea-event': 'pull_request', 'x-github-event': 'pull_request' }
          : { 'x-github-event': 'pull_request' };
      return { event: 'pull_request', headers, body: { action: 'opened', number, pull_request, repository } };
    }
    case 'gitlab': {
      const ids = { source_project_id: isFork ? 2 : 1, target_project_id: 1 };
      const attributes = { action: 'open', iid: number, target_branch: branch, last_commit: { id: head }, ...ids };
      const project = { git_http_url: cloneUrl, default_branch: 'main' };
      const body = { project, object_attributes: attributes };
      return { event: 'pull_request', headers: { 'x-gitlab-event': 'Merge Request Hook' }, body };
    }
    case 'azureRepos': {
      const resource = {
        pullRequestId: number,
        targetRefName: `refs/heads/${branch}`,
        lastMergeSourceCommit: { commitId: head },
        repository: { remoteUrl: cloneUrl, defaultBranch: 'refs/heads/main' },
        ...(isFork ? { forkSource: { repository: { id: 'other' } } } : {}),
      };
      const eventType = 'git.pullrequest.created';
      return { event: eventType, headers: {}, body: { eventType, resource } };
    }
  }
}

function signatureOf(kind: GitHostKind, text: string, secret: string): Record<string, string> {
  const digest = createHmac('sha256', secret).update(text).digest('hex');
  switch (kind) {
    case 'gitea':
      return { 'x-gitea-signature': digest, 'x-hub-signature-256': `sha256=${digest}` };
    case 'github':
      return { 'x-hub-signature-256': `sha256=${digest}` };
    case 'gitlab':
      return { 'x-gitlab-token': secret };
    case 'azureRepos':
      return { authorization: `Basic ${Buffer.from(`berth:${secret}`).toString('base64')}` };
  }
}

function forward(origin: string, request: IncomingMessage, response: ServerResponse): void {
  const onward = requestOf(
    `${origin}${request.url}`,
    { method: request.method, headers: request.headers },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    },
  );
  onward.on('error', () => response.destroy());
  request.pipe(onward);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}
