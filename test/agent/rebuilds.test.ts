import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { openWorkbench, type Workbench } from '../end-to-end/workbench.ts';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { GitServer } from '../support/git-server.ts';
import { run } from '../support/run.ts';
import { storageFlags } from '../support/samples.ts';
import { waitFor } from '../support/wait-for.ts';

// Images that are built again when what they stand on changes: real builds by the agent of the server, on two slots.

const berth = join(import.meta.dirname, '../../bin/berth');
const slots = 2;
const many = Array.from({ length: 23 }, (_each, index) => `many-${index + 1}`);
const chain = { 'level-1': 'base/chain:v1', 'level-2': 'made/level-1:v1', 'level-3': 'made/level-2:v1' } as const;

const runSchema = z.looseObject({
  runId: z.string(),
  status: z.string(),
  task: z.string().nullish(),
  startTime: z.string().nullish(),
  finishTime: z.string().nullish(),
  imageUpdateTrigger: z.looseObject({ images: z.array(z.looseObject({ digest: z.string() })) }).nullish(),
});
const runsSchema = z.object({ value: z.array(z.object({ properties: runSchema })) });
type TestRun = z.infer<typeof runSchema>;
const graphSchema = z.object({
  tasks: z.array(z.looseObject({ name: z.string(), makes: z.array(z.string()), waitsFor: z.array(z.string()) })),
});
const stepsSchema = z.object({ steps: z.array(z.object({ task: z.string(), waitsFor: z.array(z.string()) })) });

let bench: Workbench;
let git: GitServer;
let rest: AzRest;
let registry: string;

before(async () => {
  bench = await openWorkbench({ settings: { 'outbound-allow': '127.0.0.0/8', 'build-slots': String(slots) } });
  bench.file('home/auth.json', '{}');
  rest = await azRest(bench.server);
  registry = `${rest.subscription}/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local`;
  git = await GitServer.start(join(bench.folder, 'git'));
  const standOn = (image: string) => `FROM ${bench.named.host}/${image}\nLABEL rebuilt=yes\n`;
  const files = Object.fromEntries([
    ...many.map((name) => [`${name}.Dockerfile`, standOn('base/many:v1')]),
    ...Object.entries(chain).map(([name, base]) => [`${name}.Dockerfile`, standOn(base)]),
  ]);
  await git.commit('team/images.git', 'main', files);
});
after(async () => {
  await git?.[Symbol.asyncDispose]();
  await bench?.[Symbol.asyncDispose]();
});

/** An image of one small file, pushed as people do. */
async function pushBase(reference: string, text: string): Promise<void> {
  const folder = join(bench.folder, 'base');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY text /text\n');
  writeFileSync(join(folder, 'text'), text);
  const layout = `oci:${join(folder, 'layout')}:base`;
  await bench.run('buildah', [...storageFlags(folder), 'build', '--quiet', '-t', 'localhost/base', folder]);
  await bench.run('buildah', [...storageFlags(folder), 'push', '--quiet', 'localhost/base', layout]);
  const credential = ['--dest-creds', `${bench.username}:${bench.password}`, '--dest-tls-verify=false'];
  await bench.run('skopeo', ['copy', '--quiet', ...credential, layout, `docker://${bench.http.host}/${reference}`]);
}

const taskId = (name: string) => `${registry}/tasks/${name}`;
const versioned = (path: string) => `${path}?api-version=2019-06-01-preview`;

async function putTask(name: string, status: 'Enabled' | 'Disabled'): Promise<void> {
  await rest.done('PUT', versioned(taskId(name)), {
    location: 'local',
    properties: {
      platform: { os: 'Linux', architecture: 'amd64' },
      step: {
        type: 'Docker',
        contextPath: `${git.origin}/team/images.git#main`,
        dockerFilePath: `${name}.Dockerfile`,
        imageNames: [`made/${name}:v1`],
      },
      trigger: { baseImageTrigger: { name: 'base', baseImageTriggerType: 'Runtime', status } },
    },
  });
}

async function start(name: string): Promise<void> {
  const request = { type: 'TaskRunRequest', taskId: taskId(name) };
  await rest.done('POST', versioned(`${registry}/scheduleRun`), request);
}

async function runsOf(names: readonly string[]): Promise<TestRun[]> {
  const answer = await rest.send('GET', `${versioned(`${registry}/runs`)}&$top=500`);
  const { value } = runsSchema.parse(await answer.json());
  return value.map(({ properties }) => properties).filter(({ task }) => names.includes(task ?? ''));
}

/** All runs of the tasks, when there are so many and none is at work. */
const ended = async (names: readonly string[], count: number, timeoutMs: number) =>
  await waitFor(`${count} runs have ended`, timeoutMs, async () => {
    const runs = await runsOf(names);
    return runs.length >= count && runs.every(({ finishTime }) => finishTime) ? runs : undefined;
  });

const program = async (...words: readonly string[]) =>
  (await run(berth, [...words, '--json', '--data', bench.server.dataFolder])).stdout;
const timeOf = (time: string | null | undefined) => Date.parse(time ?? assert.fail('the run has no such time'));

test('23 tasks stand on one image: a push of it builds all of them again, as many at once as there are slots', async () => {
  await pushBase('base/many:v1', 'one');
  for (const name of many) await putTask(name, 'Enabled');
  for (const name of many) await start(name);
  const first = await ended(many, many.length, 300_000);
  assert.deepEqual([...new Set(first.map(({ status }) => status))], ['Succeeded']);
  await pushBase('base/many:v1', 'two');
  const { digest = '' } = (await bench.manifest('base/many', 'v1')) ?? {};
  const all = await ended(many, 2 * many.length, 300_000);
  const again = all.filter(({ imageUpdateTrigger }) => imageUpdateTrigger);
  assert.equal(all.length, 2 * many.length);
  assert.deepEqual(again.map(({ task }) => task).sort(), [...many].sort(), 'each once');
  for (const { status, runId, imageUpdateTrigger } of again) {
    assert.equal(status, 'Succeeded', runId);
    assert.equal(imageUpdateTrigger?.images[0]?.digest, digest);
  }
  // How many were at work when each of them began, itself among them.
  const atWork = again.map(
    ({ startTime }) =>
      again.filter((each) => timeOf(each.startTime) <= timeOf(startTime) && timeOf(each.finishTime) > timeOf(startTime))
        .length,
  );
  assert.equal(Math.max(...atWork), slots);
});

test('a rebuild goes through three levels in order, each when the one below has succeeded', async () => {
  const names = Object.keys(chain);
  await pushBase('base/chain:v1', 'one');
  for (const [index, name] of names.entries()) {
    await putTask(name, 'Disabled');
    await start(name);
    await ended(names, index + 1, 60_000);
  }
  const { tasks } = graphSchema.parse(JSON.parse(await program('task', 'graph')));
  const waitsFor = Object.fromEntries(tasks.map((task) => [task.name, task.waitsFor]));
  assert.deepEqual([waitsFor['level-1'], waitsFor['level-2'], waitsFor['level-3']], [[], ['level-1'], ['level-2']]);
  const before = await Promise.all(names.map(async (name) => (await bench.manifest(`made/${name}`, 'v1'))?.digest));
  await pushBase('base/chain:v1', 'two');
  const { steps } = stepsSchema.parse(JSON.parse(await program('task', 'rebuild', '--image', 'base/chain:v1')));
  assert.deepEqual(
    steps.map(({ task }) => task),
    names,
  );
  const runs = (await ended(names, 2 * names.length, 120_000)).slice(0, names.length).reverse();
  assert.deepEqual(
    runs.map(({ task, status }) => [task, status]),
    names.map((name) => [name, 'Succeeded']),
  );
  for (const [index, { startTime }] of runs.entries())
    if (index > 0) assert(timeOf(startTime) >= timeOf(runs[index - 1]?.finishTime), `${names[index]} waited`);
  const made = await Promise.all(names.map(async (name) => (await bench.manifest(`made/${name}`, 'v1'))?.digest));
  for (const [index, name] of names.entries()) assert.notEqual(made[index], before[index], name);
});
