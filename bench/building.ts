import { z } from 'zod';
import { roomsOf, scheduleLongBuild } from '../test/faults/running-build.ts';
import { armCaller } from '../test/support/arm-caller.ts';
import { type BerthServer, startBerth } from '../test/support/berth-server.ts';
import { waitFor } from '../test/support/wait-for.ts';
import { ImageSource, MiB } from './images.ts';
import { type Latency, Recorder } from './recorder.ts';
import { machineLine } from './report/machine.ts';
import { readRates } from './sequences/read-rates.ts';
import { UsageWatch } from './server-usage.ts';
import { basicLine, type Target } from './servers/target.ts';

/**
 * What builds cost pulls (L-18): `node bench/building.ts [SECONDS] [ROUNDS]`. Manifest GET by tag with 64 connections beside two builds that
 * never rest, on the server's own agent, and without them, in turn; the goal is a p99 at most twice as long, and a server below 300 MiB.
 */
const seconds = Number(process.argv[2] ?? 5);
const rounds = Number(process.argv[3] ?? 3);
const builds = 2;
const busy = 'while :; do :; done';
const name = 'Manifest GET by tag';

type Measured = { readonly latency: Latency; readonly perSecond: number; readonly peakMiB: number };

function targetOf(server: BerthServer): Target {
  const credentials = server.admin;
  const authorizationLines = [basicLine(credentials)];
  return { name: 'berth', origin: new URL(server.http), credentials, authorizationLines, pid: () => server.pid };
}

async function serverPeak(server: BerthServer, work: () => Promise<void>): Promise<number> {
  // Its agent is a child of it, and the builds are children of that: their memory has limits of its own.
  const watch = new UsageWatch(server.pid, { hasChildren: false });
  await work();
  return watch.stop().peakRssBytes / MiB;
}

await using server = await startBerth();
const target = targetOf(server);
const runs = await readRates({ clients: 64, seconds }).prepare(target, new ImageSource());
const run = runs.get(name);
if (run === undefined) throw new Error(`there is no sequence ${name}`);

async function measure(): Promise<Measured> {
  const recorder = new Recorder();
  const peakMiB = await serverPeak(server, async () => await run?.(recorder, 1));
  if (recorder.failed > 0)
    throw new Error(`${recorder.failed} requests failed: ${[...recorder.errors.keys()].join(', ')}`);
  return { latency: recorder.latency(), perSecond: recorder.count / seconds, peakMiB };
}

async function beside<T>(work: () => Promise<T>): Promise<T> {
  const arm = await armCaller(server);
  const ids: string[] = [];
  for (let index = 0; index < builds; index += 1) ids.push(await scheduleLongBuild(server, busy));
  const statusOf = async (id: string) =>
    z.looseObject({ properties: z.looseObject({ status: z.string() }) }).parse(await arm.get(`runs/${id}`)).properties
      .status;
  await waitFor('the builds are at work', 60_000, async () => roomsOf(server).length === builds);
  // From here on they have fetched their files.
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  try {
    return await work();
  } finally {
    for (const id of ids) await arm.post(`runs/${id}/cancel`);
    for (const id of ids) await waitFor('the build ends', 60_000, async () => (await statusOf(id)) === 'Canceled');
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

await run(new Recorder(), 1);
const results = new Map<string, Measured[]>([
  ['no build', []],
  [`${builds} builds`, []],
]);
for (let round = 0; round < rounds; round += 1) {
  results.get('no build')?.push(await measure());
  results.get(`${builds} builds`)?.push(await beside(measure));
}
console.log(`${machineLine()}; ${name}, 64 connections, ${seconds} s, median of ${rounds}\n`);
console.log('| | req/s | p50 ms | p99 ms | server MiB | p99 |\n|---|---|---|---|---|---|');
const baseline = median((results.get('no build') ?? []).map(({ latency }) => latency.p99));
for (const [what, all] of results) {
  const of = (figure: (each: Measured) => number) => median(all.map(figure));
  const p99 = of(({ latency }) => latency.p99);
  const cells = [of(({ perSecond }) => perSecond), of(({ latency }) => latency.p50), p99, of(({ peakMiB }) => peakMiB)];
  console.log(`| ${[what, ...cells.map((cell) => cell.toFixed(1)), `${(p99 / baseline).toFixed(2)}x`].join(' | ')} |`);
}
