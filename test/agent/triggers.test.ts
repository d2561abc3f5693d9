import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { openWorkbench, type Workbench } from '../end-to-end/workbench.ts';
import { AzMachine, azReleases } from '../support/az-machine.ts';
import { freePort } from '../support/free-port.ts';
import { GitHost, type GitHostKind } from '../support/git-host.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// Commits make images: az, a server with its agent, and hosts of git repositories with their webhook APIs. Nothing is stood in for but the hosts.

const token = 't0ken-of-the-repository';
const kinds: readonly GitHostKind[] = ['gitea', 'github', 'gitlab', 'azureRepos'];
const runsSchema = z.array(z.looseObject({ runId: z.string(), status: z.string(), task: z.string().nullable() }));
const repositories = temporaryFolder('git-hosts');
const hosts = new Map<GitHostKind, GitHost>();
let bench: Workbench;
let az: AzMachine;

before(async () => {
  for (const kind of kinds) hosts.set(kind, await GitHost.start(kind, join(repositories.path, kind), token));
  const ports = { http: await freePort(), https: await freePort() };
  bench = await openWorkbench({
    ports,
    settings: {
      'outbound-allow': '127.0.0.0/8',
      'outbound-host': `dev.azure.com=127.0.0.1:${hostOf('azureRepos').port}`,
      'git-hooks-url': `http://localhost:${ports.http}`,
      // Debian's runc and buildah would have pull requests of strangers refused.
      'build-unpatched-pull-requests': 'on',
    },
  });
  const [release] = azReleases;
  assert.ok(release !== undefined);
  az = await AzMachine.setUp(bench.server, release, join(bench.folder, 'az'));
});
after(async () => {
  await bench?.[Symbol.asyncDispose]();
  for (const host of hosts.values()) await host[Symbol.asyncDispose]();
  repositories.remove();
});

const hostOf = (kind: GitHostKind) => hosts.get(kind) ?? assert.fail();
const filesOf = (text: string) => ({ Dockerfile: 'FROM scratch\nCOPY note /note\n', note: text });
const runsOf = async (task: string) => runsSchema.parse(await az.json(`az acr task list-runs -r local -n ${task}`));
const ended = async (task: string, count: number) =>
  await waitFor(`${count} runs of ${task} have ended`, 240_000, async () => {
    const runs = await runsOf(task);
    return runs.length >= count && runs.every(({ status }) => !['Queued', 'Started', 'Running'].includes(status))
      ? runs
      : undefined;
  });

for (const kind of kinds)
  test(`${kind}: a push makes one run that builds and pushes; the webhook comes and goes with the task`, async () => {
    const host = hostOf(kind);
    const task = `on-${kind.toLowerCase()}`;
    await host.push('main', filesOf('first'));
    await az.type(
      `az acr task create -r local -n ${task} -c '${host.cloneUrl}#main' -f Dockerfile -t ${task}:{{.Run.ID}} -t ${task}:latest --commit-trigger-enabled true --git-access-token ${token} -o none`,
    );
    await waitFor('the webhook is there', 120_000, () => host.hooks.size > 0);
    assert.deepEqual((await host.push('main', filesOf('second'), 3)).statuses, [202, 202, 202]);
    const [run, ...others] = await ended(task, 1);
    assert.equal(others.length, 0, 'one push is one run');
    assert.equal(run?.status, 'Succeeded', await az.type(`az acr task logs -r local --run-id ${run?.runId}`));
    assert.notEqual(await bench.manifest(task, run?.runId ?? ''), undefined);
    const forged = { branch: 'main', before: '1'.repeat(40), after: '2'.repeat(40) };
    assert.deepEqual(await host.deliverPush(forged, { secret: 'wrong' }), [404]);
    await sleep(500);
    assert.equal((await runsOf(task)).length, 1);
    await az.type(`az acr task delete -r local -n ${task} -y`);
    await waitFor('the webhook is gone', 120_000, () => host.hooks.size === 0);
  });

/** In another registry of the installation, from which everybody may pull. */
async function publicBase(): Promise<string> {
  const image = `${bench.named.host.replace('local', 'bases')}/debian:12`;
  await az.type('az acr create -n bases -g berth --sku Standard --admin-enabled true -o none');
  await az.type('az acr update -n bases --anonymous-pull-enabled true -o none');
  const secrets = z.object({ username: z.string(), passwords: z.array(z.object({ value: z.string() })) });
  const { username, passwords } = secrets.parse(await az.json('az acr credential show -n bases'));
  const words = ['--dest-creds', `${username}:${passwords[0]?.value}`, '--dest-tls-verify=false'];
  await bench.run('skopeo', ['copy', ...words, 'oci:samples:base', `docker://${image}`]);
  return image;
}

test('a pull request of the repository itself is built and pushed; one from a fork is built, with nothing of the task', async () => {
  await using host = await GitHost.start('gitea', join(repositories.path, 'public'), token, { isPublic: true });
  const commits = new Map<string, string>();
  commits.set('own-branch', (await host.push('own-branch', filesOf('own-branch'))).commit);
  const ofStranger = { Dockerfile: `FROM ${await publicBase()}\nRUN true\n` };
  commits.set('of-a-stranger', (await host.push('of-a-stranger', ofStranger)).commit);
  await az.type(
    `az acr task create -r local -n on-pull -c '${host.cloneUrl}#main' -f Dockerfile -t on-pull:{{.Run.ID}} --secret-arg PASSWORD=hunter2 --commit-trigger-enabled false --pull-request-trigger-enabled true --git-access-token ${token} -o none`,
  );
  await waitFor('the webhook is there', 120_000, () => host.hooks.size > 0);
  const pull = async (branch: string, number: number, isFork: boolean) => {
    const head = commits.get(branch) ?? assert.fail();
    for (let time = 0; time < 2; time += 1)
      assert.deepEqual(await host.deliverPullRequest({ branch: 'main', head, number, isFork }), [202]);
    const [run] = await ended('on-pull', number);
    const log = await az.type(`az acr task logs -r local --run-id ${run?.runId}`);
    return { runId: run?.runId ?? '', status: run?.status, log };
  };
  const own = await pull('own-branch', 1, false);
  assert.equal(own.status, 'Succeeded', own.log);
  assert.notEqual(await bench.manifest('on-pull', own.runId), undefined);
  const stranger = await pull('of-a-stranger', 2, true);
  assert.equal((await runsOf('on-pull')).length, 2, 'told twice each');
  assert.equal(stranger.status, 'Succeeded', stranger.log);
  assert.match(own.log, /Logging in to registry[\s\S]*Successfully pushed image/);
  assert.doesNotMatch(stranger.log, /Logging in|Pushing/);
  assert.equal(await bench.manifest('on-pull', stranger.runId), undefined);
  await az.type('az acr task delete -r local -n on-pull -y');
});
