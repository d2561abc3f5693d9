import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { scheduleLongBuild } from '../test/faults/running-build.ts';
import { armCaller } from '../test/support/arm-caller.ts';
import { AzMachine, azReleases } from '../test/support/az-machine.ts';
import { startBerth } from '../test/support/berth-server.ts';
import { run } from '../test/support/run.ts';
import { samples } from '../test/support/samples.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { waitFor } from '../test/support/wait-for.ts';
import { MiB } from './images.ts';
import { machineLine } from './report/machine.ts';
import { UsageWatch } from './server-usage.ts';

/**
 * What builds take: `node bench/build-figures.ts [ROUNDS]`, as root, with the Azure CLI and skopeo. With the server's own agent:
 * `az acr build` of one file on a Debian base of the registry, beyond what `az` takes to ask for the registry; how late a line of a
 * step is in the log; 20 runs on two slots; and the server's memory after them. Exit code 1 when a goal is missed.
 */
const rounds = Number(process.argv[2] ?? 5);
const queuedRuns = 20;
const printedLines = 20;
const goals = { buildSeconds: 5, lineSeconds: 1, grownMiB: 32 } as const;
const isOver = (status: string) => !['Queued', 'Started', 'Running'].includes(status);
const runSchema = z.looseObject({ properties: z.looseObject({ status: z.string() }) });

await using server = await startBerth();
const folder = temporaryFolder('build-figures');
const arm = await armCaller(server);

const statusOf = async (id: string) => runSchema.parse(await arm.get(`runs/${id}`)).properties.status;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function finish(id: string): Promise<void> {
  await waitFor(`the run ${id} ends`, 300_000, async () => isOver(await statusOf(id)));
  const status = await statusOf(id);
  if (status !== 'Succeeded') throw new Error(`the run ${id} is ${status}`);
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Beyond `az acr show`, which starts, signs in and asks once as well. */
async function buildSeconds(): Promise<number> {
  const [release] = azReleases;
  if (release === undefined) throw new Error('there is no Azure CLI');
  const az = await AzMachine.setUp(server, release, join(folder.path, 'az'));
  const { host } = new URL(server.http);
  const { username, password } = server.admin;
  const words = ['--dest-tls-verify=false', '--dest-creds', `${username}:${password}`];
  const { layout } = await samples();
  await run('skopeo', ['copy', ...words, `oci:${layout}:base`, `docker://${host}/debian:12`]);
  const context = join(folder.path, 'context');
  mkdirSync(context);
  writeFileSync(
    join(context, 'Dockerfile'),
    `FROM ${server.bootstrap.registry.loginServer}/debian:12\nCOPY Dockerfile /\n`,
  );
  const build = () => az.type(`az acr build -r local -t one:{{.Run.ID}} ${context}`);
  // The agent comes with the first run.
  await build();
  const seconds: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const own = await secondsOf(() => az.type('az acr show -n local -o none'));
    seconds.push((await secondsOf(build)) - own);
  }
  return median(seconds);
}

/** The latest of the lines: each says when it was printed, and is looked for every 50 ms. */
async function lineSeconds(): Promise<number> {
  const line = `i=0; while [ $i -lt ${printedLines} ]; do echo at $(date +%s%3N) end; sleep 0.7; i=$((i+1)); done`;
  const id = await scheduleLongBuild(server, line);
  const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${id}/listLogSasUrl`));
  const { pathname, search } = new URL(logLink);
  const seen = new Map<string, number>();
  while (seen.size < printedLines) {
    const text = await (await fetch(`${server.http}${pathname}${search}`)).text();
    for (const [, time = ''] of text.matchAll(/^at (\d{13}) end\r$/gm))
      if (!seen.has(time)) seen.set(time, (Date.now() - Number(time)) / 1000);
    if (seen.size < printedLines && isOver(await statusOf(id))) throw new Error(`the log has ${seen.size} lines`);
    await sleep(50);
  }
  await finish(id);
  return Math.max(...seen.values());
}

async function queueSeconds(): Promise<number> {
  return await secondsOf(async () => {
    const ids: string[] = [];
    for (let index = 0; index < queuedRuns; index += 1) ids.push(await scheduleLongBuild(server, 'echo done'));
    for (const id of ids) await finish(id);
  });
}

/** Of the server alone, without its agent: the median of some seconds at rest. */
async function restMiB(): Promise<number> {
  const values: number[] = [];
  for (let second = 0; second < 5; second += 1) {
    const watch = new UsageWatch(server.pid, { hasChildren: false });
    await sleep(1_000);
    values.push(watch.stop().peakRssBytes / MiB);
  }
  return median(values);
}

try {
  const build = await buildSeconds();
  const line = await lineSeconds();
  const before = await restMiB();
  const queue = await queueSeconds();
  const after = await restMiB();
  const rows = [
    ['az acr build of one file on a base in the registry, beyond az itself', build, goals.buildSeconds, 's'],
    ['a line of a step is in the log after, at most', line, goals.lineSeconds, 's'],
    [
      `the server's memory after ${queuedRuns} more runs (${after.toFixed(0)} MiB) grew by`,
      after - before,
      goals.grownMiB,
      'MiB',
    ],
  ] as const;
  console.log(`${machineLine()}; median of ${rounds}\n\n| Figure | | Goal | |\n|---|---|---|---|`);
  for (const [what, value, goal, unit] of rows)
    console.log(
      `| ${what} | ${value.toFixed(2)} ${unit} | under ${goal} ${unit} | ${value < goal ? 'met' : 'missed'} |`,
    );
  console.log(`| ${queuedRuns} runs on 2 slots have all succeeded after | ${queue.toFixed(1)} s | all | met |`);
  if (rows.some(([, value, goal]) => value >= goal)) process.exitCode = 1;
} finally {
  folder.remove();
}
