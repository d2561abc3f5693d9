import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { type GitEvent, gitEventsOf, providerOf } from './git-events.ts';
import { isSigned } from './git-signature.ts';

const [a, b, none] = ['a'.repeat(40), 'b'.repeat(40), '0'.repeat(40)];
const repository = {
  default_branch: 'main',
  clone_url: 'https://git.example/team/app.git',
  html_url: 'https://git.example/team/app',
};
const project = { default_branch: 'main', git_http_url: 'https://git.example/team/app.git' };
const azure = { remoteUrl: 'https://dev.azure.com/org/project/_git/app', defaultBranch: 'refs/heads/main' };

type Case = readonly [
  what: string,
  headers: Record<string, string>,
  body: unknown,
  expected: readonly Partial<GitEvent>[],
];

const push = { ref: 'refs/heads/main', before: a, after: b, repository };
const pull = {
  action: 'opened',
  number: 7,
  pull_request: { head: { sha: b, repo: { id: 1 } }, base: { ref: 'main', repo: { id: 1 } } },
  repository,
};
/** The same from another repository, which may be gone. */
const pullFrom = (repo?: object | null) => ({
  ...pull,
  pull_request: { ...pull.pull_request, head: { sha: b, repo } },
});
const merge = {
  project,
  object_attributes: {
    action: 'open',
    iid: 7,
    target_branch: 'main',
    source_project_id: 1,
    target_project_id: 1,
    last_commit: { id: b },
  },
};
const azurePush = (newObjectId: string, name = 'refs/heads/main') => ({
  eventType: 'git.push',
  resource: { refUpdates: [{ name, oldObjectId: a, newObjectId }], repository: azure },
});
const azurePull = {
  eventType: 'git.pullrequest.updated',
  resource: {
    pullRequestId: 7,
    targetRefName: 'refs/heads/main',
    lastMergeSourceCommit: { commitId: b },
    repository: azure,
  },
};
const commit = [{ eventType: 'commit', branch: 'main', commit: b, before: a, defaultBranch: 'main' }] as const;
const ofRequest = { eventType: 'pullrequest', branch: 'main', commit: b, pullRequestId: '7' } as const;
const request = [{ ...ofRequest, isFromFork: false }] as const;
const fromFork = [{ ...ofRequest, isFromFork: true }] as const;

const cases: readonly Case[] = [
  ['a push to GitHub', { 'x-github-event': 'push' }, push, commit],
  ['a push to Gitea', { 'x-gitea-event': 'push', 'x-github-event': 'push' }, push, commit],
  ['a push to Forgejo', { 'x-forgejo-event': 'push' }, push, commit],
  ['a push to GitLab', { 'x-gitlab-event': 'Push Hook' }, { ref: push.ref, before: a, after: b, project }, commit],
  ['a push to Azure Repos', {}, azurePush(b), commit],
  ['a new branch', { 'x-github-event': 'push' }, { ...push, before: none }, [{ branch: 'main', before: none }]],
  ['a deleted branch', { 'x-github-event': 'push' }, { ...push, after: none }, []],
  ['a branch deleted at GitLab', { 'x-gitlab-event': 'Push Hook' }, { ...push, project, after: none }, []],
  ['a branch deleted at Azure Repos', {}, azurePush(none), []],
  ['a tag', { 'x-github-event': 'push' }, { ...push, ref: 'refs/tags/v1' }, []],
  ['a tag at GitLab', { 'x-gitlab-event': 'Tag Push Hook' }, { ...push, project }, []],
  ['a tag at Azure Repos', {}, azurePush(b, 'refs/tags/v1'), []],
  ['a branch with a slash', { 'x-github-event': 'push' }, { ...push, ref: 'refs/heads/a/b' }, [{ branch: 'a/b' }]],
  ['a pull request at GitHub', { 'x-github-event': 'pull_request' }, pull, request],
  ['new commits of it', { 'x-github-event': 'pull_request' }, { ...pull, action: 'synchronize' }, request],
  ['new commits of it at Gitea', { 'x-gitea-event': 'pull_request' }, { ...pull, action: 'synchronized' }, request],
  ['a pull request from a fork', { 'x-github-event': 'pull_request' }, pullFrom({ id: 2 }), fromFork],
  ['a pull request from a fork at Gitea', { 'x-gitea-event': 'pull_request' }, pullFrom({ id: 2 }), fromFork],
  ['one from a fork that is gone', { 'x-github-event': 'pull_request' }, pullFrom(null), fromFork],
  ['one that does not say where from', { 'x-github-event': 'pull_request' }, pullFrom(), fromFork],
  [
    'a merge request from a fork',
    { 'x-gitlab-event': 'Merge Request Hook' },
    { ...merge, object_attributes: { ...merge.object_attributes, source_project_id: 2 } },
    fromFork,
  ],
  [
    'a pull request from a fork at Azure Repos',
    {},
    { ...azurePull, resource: { ...azurePull.resource, forkSource: { repository: { id: 'x' } } } },
    fromFork,
  ],
  ['a label', { 'x-github-event': 'pull_request' }, { ...pull, action: 'labeled' }, []],
  ['a merge request', { 'x-gitlab-event': 'Merge Request Hook' }, merge, request],
  [
    'new commits of it',
    { 'x-gitlab-event': 'Merge Request Hook' },
    { ...merge, object_attributes: { ...merge.object_attributes, action: 'update', oldrev: a } },
    request,
  ],
  [
    'a new title of it',
    { 'x-gitlab-event': 'Merge Request Hook' },
    { ...merge, object_attributes: { ...merge.object_attributes, action: 'update' } },
    [],
  ],
  ['a pull request at Azure Repos', {}, azurePull, request],
  ['a ping', { 'x-github-event': 'ping' }, { zen: 'Keep it logically awesome.' }, []],
  ['a commit that is none', { 'x-github-event': 'push' }, { ...push, after: '--upload-pack=x' }, []],
  ['a list', { 'x-github-event': 'push' }, [], []],
  ['nothing', {}, null, []],
];

for (const [what, headers, body, expected] of cases)
  test(`${what} tells of ${expected.length === 0 ? 'nothing' : 'an event'} (${Object.keys(headers).join(' ') || 'no header'})`, () => {
    const map = new Map(Object.entries(headers));
    const events = gitEventsOf(providerOf(map), map, body);
    assert.equal(events.length, expected.length);
    assert.partialDeepStrictEqual(events, expected);
  });

const text = Buffer.from('{"a": "ü"}');
const hex = createHmac('sha256', 'secret').update(text).digest('hex');
const password = (value: string) => ({ authorization: `Basic ${Buffer.from(value).toString('base64')}` });
const signatures: readonly [what: string, headers: Record<string, string>, isRight: boolean][] = [
  ['the signature of GitHub', { 'x-hub-signature-256': `sha256=${hex}` }, true],
  ['the signature of Gitea', { 'x-gitea-signature': hex }, true],
  ['the token of GitLab', { 'x-gitlab-token': 'secret' }, true],
  ['the password of Azure Repos', password('berth:secret'), true],
  ['no signature', {}, false],
  [
    'another signature',
    { 'x-hub-signature-256': `sha256=${hex.replace(/^./, (first) => (first === '0' ? '1' : '0'))}` },
    false,
  ],
  ['an empty signature', { 'x-hub-signature-256': '' }, false],
  ['the old kind of signature', { 'x-hub-signature': 'sha1=00' }, false],
  ['another token', { 'x-gitlab-token': 'secrets' }, false],
  ['another password', password('berth:other'), false],
  [
    'a wrong signature beside the right token',
    { 'x-hub-signature-256': 'sha256=00', 'x-gitlab-token': 'secret' },
    false,
  ],
];

for (const [what, headers, isRight] of signatures)
  test(`${what} is ${isRight ? 'believed' : 'refused'}`, () => {
    assert.equal(isSigned(new Map(Object.entries(headers)), text, 'secret'), isRight);
  });
