import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { ImageReference } from '../../src/wire/builds/run-work.ts';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { GitServer } from '../support/git-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// What starts tasks where nobody calls: images of another installation, and git repositories, looked at now and then.

const berth = join(import.meta.dirname, '../../bin/berth');
const apiVersion = 'api-version=2019-06-01-preview';
const token = 't0ken-of-the-repository';
/** There is a look at every repository, and at every image, within so long. */
const looksMs = 7_000;
const imageLooksMs = 12_000;

const runSchema = z.looseObject({
  runId: z.string(),
  status: z.string(),
  task: z.string().nullish(),
  imageUpdateTrigger: z.looseObject({ images: z.array(z.looseObject({ digest: z.string() })) }).nullish(),
  sourceTrigger: z.looseObject({ commitId: z.string(), branchName: z.string() }).nullish(),
});
const runsSchema = z.object({ value: z.array(z.object({ properties: runSchema })) });
const webhooksSchema = z.object({
  webhooks: z.array(z.looseObject({ isMade: z.boolean(), problem: z.string().nullable() })),
});
const graphSchema = z.object({
  tasks: z.array(
    z.looseObject({ name: z.string(), standsOn: z.array(z.looseObject({ digest: z.string().nullable() })) }),
  ),
});

let server: BerthServer;
let elsewhere: BerthServer;
let rest: AzRest;
let registry: string;

before(async () => {
  elsewhere = await startBerth({ settings: { builds: 'off' } });
  server = await startBerth({
    settings: {
      'outbound-allow': '127.0.0.0/8',
      'git-poll-interval': '1s',
      'base-image-poll-interval': '1s',
      builds: 'off',
    },
  });
  rest = await azRest(server);
  registry = `${rest.subscription}/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local`;
});
after(async () => {
  await server?.remove();
  await elsewhere?.remove();
});

async function putTask(name: string, properties: object): Promise<void> {
  await rest.done('PUT', `${registry}/tasks/${name}?${apiVersion}`, {
    location: 'local',
    properties: { platform: { os: 'Linux', architecture: 'amd64' }, ...properties },
  });
}

async function runsOf(task: string) {
  const answer = await rest.send('GET', `${registry}/runs?${apiVersion}&$top=100`);
  const { value } = runsSchema.parse(await answer.json());
  return value.map(({ properties }) => properties).filter((each) => each.task === task);
}
const countOf = async (task: string, count: number) =>
  await waitFor(`${count} runs of ${task}`, 120_000, async () => {
    const runs = await runsOf(task);
    return runs.length >= count ? runs : undefined;
  });

describe('images of another installation', () => {
  const encoded = { type: 'EncodedTask', encodedTaskContent: btoa('steps: []') };
  let host: string;
  let credentials: object;

  before(() => {
    host = `127.0.0.1:${elsewhere.ports.http}`;
    const { username, password } = elsewhere.admin;
    const opaque = (value: string) => ({ type: 'Opaque', value });
    credentials = { customRegistries: { [host]: { userName: opaque(username), password: opaque(password) } } };
  });

  /** An image without layers; its text makes its digest. */
  const push = async (repository: string, text: string) => {
    const basic = Buffer.from(`${elsewhere.admin.username}:${elsewhere.admin.password}`).toString('base64');
    const send = async (method: string, path: string, body: string, type: string) => {
      const headers = { authorization: `Basic ${basic}`, 'content-type': type };
      const answer = await fetch(new URL(path, elsewhere.http), { method, headers, body });
      assert.equal(answer.status, 201, await answer.text());
      return answer.headers.get('docker-content-digest') ?? '';
    };
    const config = JSON.stringify({ text });
    const hash = await crypto.subtle.digest('SHA-256', Buffer.from(config));
    const digest = `sha256:${Buffer.from(hash).toString('hex')}`;
    await send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, config, 'application/octet-stream');
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const configOf = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: config.length };
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config: configOf, layers: [] });
    return await send('PUT', `/v2/${repository}/manifests/v1`, manifest, mediaType);
  };
  const reference = (repository: string): ImageReference => ({
    ...{ registry: host, repository, tag: 'v1' },
    reference: `${host}/${repository}:v1`,
  });
  /** Of what a task stands on, as the server knows them. */
  const digestsOf = async (task: string) => {
    const shown = await run(berth, ['task', 'graph', '--json', '--data', server.dataFolder]);
    const { tasks } = graphSchema.parse(JSON.parse(shown.stdout));
    return tasks.find(({ name }) => name === task)?.standsOn.map(({ digest }) => digest) ?? [];
  };
  /** The first run of a task, whose image stands on `base/runtime` and, while it was built, on `base/tools`. */
  const learn = async (task: string) => {
    await rest.done('POST', `${registry}/scheduleRun?${apiVersion}`, {
      type: 'TaskRunRequest',
      taskId: `${registry}/tasks/${task}`,
    });
    const agent = await HandAgent.join(server);
    const image = { registry: server.bootstrap.registry.loginServer, repository: task, tag: 'v1' };
    const made = { ...image, reference: `${image.registry}/${task}:v1` };
    await agent.finish(await agent.take(), ['built'], {
      status: 'Succeeded',
      images: [{ ...image, digest: `sha256:${'a'.repeat(64)}` }],
      dependencies: [{ image: made, runtime: reference('base/runtime'), buildtime: [reference('base/tools')] }],
    });
  };

  test('are looked at with the credential of the task, and start it when they have changed, once', async () => {
    await push('base/runtime', 'one');
    await push('base/tools', 'one');
    for (const [name, more, status] of [
      ['of-runtime', { baseImageTriggerType: 'Runtime' }, 'Enabled'],
      ['of-all', { baseImageTriggerType: 'All' }, 'Enabled'],
      ['not-started', { baseImageTriggerType: 'All' }, 'Disabled'],
    ] as const) {
      await putTask(name, {
        step: encoded,
        credentials,
        trigger: { baseImageTrigger: { name: 'base', status, ...more } },
      });
      await learn(name);
    }
    await putTask('without-password', { step: encoded, trigger: { baseImageTrigger: { name: 'base' } } });
    await learn('without-password');
    await waitFor('the first look', 120_000, async () => (await digestsOf('of-all')).every((each) => each !== null));
    assert.deepEqual(await digestsOf('without-password'), [null, null]);
    await push('base/runtime', 'one');
    await sleep(imageLooksMs);
    for (const name of ['of-runtime', 'of-all']) assert.equal((await runsOf(name)).length, 1, 'nothing has changed');
    const tools = await push('base/tools', 'two');
    const [byTools] = await countOf('of-all', 2);
    assert.equal(byTools?.imageUpdateTrigger?.images[0]?.digest, tools);
    assert.equal((await runsOf('of-runtime')).length, 1, 'an image of its first stage');
    const runtime = await push('base/runtime', 'two');
    const [byRuntime] = await countOf('of-runtime', 2);
    assert.equal(byRuntime?.imageUpdateTrigger?.images[0]?.digest, runtime);
    await sleep(imageLooksMs);
    assert.equal((await runsOf('of-runtime')).length, 2, 'once');
    // Its run by the tools waits, and takes this one as well.
    assert.equal((await runsOf('of-all')).length, 2);
    for (const name of ['not-started', 'without-password']) assert.equal((await runsOf(name)).length, 1, name);
    const graph = await run(berth, ['task', 'graph', '--data', server.dataFolder]);
    assert.match(graph.stdout, new RegExp(`stands on +${host}/base/tools:v1 \\(while it is built\\)`));
  });
});

describe('git repositories', () => {
  const folder = temporaryFolder('looked-at');
  let git: GitServer;

  before(async () => {
    git = await GitServer.start(folder.path, token);
  });
  after(async () => {
    await git?.[Symbol.asyncDispose]();
    folder.remove();
  });

  const putGitTask = async (name: string, given: string, status = 'Enabled') =>
    await putTask(name, {
      step: {
        type: 'Docker',
        contextPath: `${git.origin}/team/app.git#main`,
        dockerFilePath: 'Dockerfile',
        imageNames: [`${name}:v1`],
      },
      trigger: {
        sourceTriggers: [
          {
            name: 'source',
            status,
            sourceTriggerEvents: ['commit'],
            sourceRepository: {
              sourceControlType: 'Github',
              repositoryUrl: `${git.origin}/team/app.git`,
              branch: 'main',
              sourceControlAuthProperties: { tokenType: 'PAT', token: given },
            },
          },
        ],
      },
    });
  const problemOf = async (task: string) => {
    const shown = await run(berth, ['task', 'webhooks', task, '--json', '--data', server.dataFolder]);
    return webhooksSchema.parse(JSON.parse(shown.stdout)).webhooks[0]?.problem;
  };

  test('that no host calls for are looked at; a commit on the branch starts the task once', async () => {
    await git.commit('team/app.git', 'main', { Dockerfile: 'FROM scratch\n' });
    await putGitTask('by-commit', token);
    await putGitTask('by-other-token', 'wrong');
    await putGitTask('trigger-off', token, 'Disabled');
    await waitFor('a look is refused', 120_000, async () =>
      /answered 401/.test((await problemOf('by-other-token')) ?? ''),
    );
    await waitFor('a look', 120_000, async () => git.authorizations.some((each) => each?.startsWith('Basic ')));
    await sleep(looksMs);
    assert.deepEqual(await runsOf('by-commit'), [], 'the first look is what later ones are compared with');
    await git.commit('team/app.git', 'other', { note: 'for nobody' });
    const commit = await git.commit('team/app.git', 'main', { note: 'one' });
    const [byCommit] = await countOf('by-commit', 1);
    assert.deepEqual([byCommit?.sourceTrigger?.commitId, byCommit?.sourceTrigger?.branchName], [commit, 'main']);
    await sleep(looksMs);
    assert.equal((await runsOf('by-commit')).length, 1, 'once');
    for (const name of ['by-other-token', 'trigger-off']) assert.deepEqual(await runsOf(name), [], name);
    const log = server.log();
    assert.doesNotMatch(log, new RegExp(token));
  });

  test('what was pushed while the server was down is found when it is back', async () => {
    await server.kill();
    const commit = await git.commit('team/app.git', 'main', { note: 'two' });
    server = await startBerth(server.again);
    rest = await azRest(server);
    const [found] = await countOf('by-commit', 2);
    assert.equal(found?.sourceTrigger?.commitId, commit);
  });
});
