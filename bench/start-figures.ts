import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BerthServer, startBerth } from '../test/support/berth-server.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { MiB } from './images.ts';
import { machineLine } from './report/machine.ts';
import { cpuSecondsSoFar, UsageWatch } from './server-usage.ts';

/**
 * What a start takes: `node bench/start-figures.ts [ROUNDS]`. CPU time until the server is ready, and its memory after three seconds of
 * rest: on a new data folder, and on one that an earlier start has filled, with Node's compile cache and without it, in turn.
 */
const rounds = Number(process.argv[2] ?? 5);
const restMs = 3_000;
const ways = [
  { name: 'with the compile cache', env: { NODE_COMPILE_CACHE: '' } },
  { name: 'without it', env: { NODE_DISABLE_COMPILE_CACHE: '1' } },
] as const;

type Figures = { readonly cpuSeconds: number; readonly restMiB: number };

async function measured(server: BerthServer): Promise<Figures> {
  const cpuSeconds = cpuSecondsSoFar(server.pid);
  await sleep(restMs);
  const restMiB = new UsageWatch(server.pid).stop().peakRssBytes / MiB;
  await server.stop();
  return { cpuSeconds, restMiB };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

using folder = temporaryFolder('start-figures');
const found = new Map<string, Figures[]>();
for (let round = 0; round < rounds; round += 1)
  for (const { name, env } of ways) {
    const dataFolder = join(folder.path, `${round}-${name}`);
    mkdirSync(dataFolder, { mode: 0o700 });
    const first = await startBerth({ database: 'sqlite', dataFolder, env });
    const firstFigures = await measured(first);
    const nextFigures = await measured(await startBerth(first.again));
    for (const [start, figures] of [
      ['first start', firstFigures],
      ['next start', nextFigures],
    ] as const)
      found.set(`${start} ${name}`, [...(found.get(`${start} ${name}`) ?? []), figures]);
  }

console.log(`${machineLine()}; median of ${rounds}\n\n| | CPU seconds until ready | MiB at rest |\n|---|---|---|`);
for (const [what, all] of [...found].toSorted(([a], [b]) => a.localeCompare(b))) {
  const cpu = median(all.map(({ cpuSeconds }) => cpuSeconds));
  const rest = median(all.map(({ restMiB }) => restMiB));
  console.log(`| ${what} | ${cpu.toFixed(2)} | ${rest.toFixed(0)} |`);
}
