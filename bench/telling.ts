import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { makeWebhooks, pushTags } from '../test/faults/webhooks.ts';
import { startBerth } from '../test/support/berth-server.ts';
import { webhookReceiver } from '../test/support/webhook-receiver.ts';
import { below, type Verdict, verdictTable } from './report/goals.ts';
import { machineLine } from './report/machine.ts';
import { aligned } from './report/sequence-table.ts';
import { UsageWatch } from './server-usage.ts';

export type Telling = {
  readonly pushes: number;
  readonly rounds: number;
  readonly print: (line: string) => void;
};

const webhooks = 20;
const clients = 4;
/** Until what pushes run is compiled: what is left of that would count as the cost of webhooks, or against it. */
const warmUpPushes = 500;
const goalPercent = 10;
/** Of the 99th percentile of a push. Source: F-21, L-17. */
const goalP99Percent = 5;
/** How much more memory grows than with pushes alone. Source: L-17. */
const goalMoreMiB = 16;
const longestTellingMs = 600_000;
const settings = { 'outbound-allow': '127.0.0.0/8' };

type Receiver = {
  readonly url: string;
  /** How many deliveries it has had; absent where none can come. */
  readonly told?: () => Promise<number>;
};

type Measured = {
  readonly seconds: number;
  /** From the first push until all were told; not a number where nobody can be, infinite where some never were. */
  readonly toldSeconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpuSeconds: number;
  readonly growthMiB: number;
};

/**
 * What webhooks cost pushes: pushes to a server without webhooks, to one with 20 that answer, and to one with 20 whose receiver is
 * dead (F-21, L-17), in turn. Judged are their time, their 99th percentile, and how much more the server's memory grows.
 */
export async function costOfTelling({ pushes, rounds, print }: Telling): Promise<Verdict[]> {
  await using opened = new AsyncDisposableStack();
  const cases: readonly (readonly [string, Receiver | undefined])[] = [
    ['no webhooks', undefined],
    [`${webhooks} webhooks that answer`, await answering(opened)],
    [`${webhooks} webhooks whose receiver is dead`, await deadAddress()],
  ];
  const results = new Map<string, Measured[]>(cases.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round += 1)
    // Each case is the first one in turn: whatever the machine does after a pause touches all alike.
    for (let turn = 0; turn < cases.length; turn += 1) {
      const [name, receiver] = cases[(round + turn) % cases.length] ?? [];
      if (name !== undefined) results.get(name)?.push(await measured(receiver, pushes));
    }
  print(`${pushes} pushes of ${clients} clients, median of ${rounds}, on ${availableParallelism()} cores`);
  for (const line of aligned([columns, ...[...results].map(([name, runs]) => rowOf(name, runs, pushes))])) print(line);
  const medians = [...results].map(([name, runs]) => ({
    name,
    of: (figure: keyof Measured) => medianOf(runs, figure),
  }));
  const [base, ...others] = medians;
  if (base === undefined) return [];
  const waits = [...results.values()]
    .flat()
    .flatMap(({ toldSeconds }) => (Number.isNaN(toldSeconds) ? [] : [toldSeconds]));
  return [
    ...others.flatMap(({ name, of }) => {
      const longer = (figure: 'seconds' | 'p99') => (of(figure) / base.of(figure) - 1) * 100;
      return [
        {
          goal: `${pushes} pushes with ${name} take at most ${goalPercent} % longer`,
          ...below(longer('seconds'), goalPercent, '%'),
        },
        {
          goal: `p99 of a push with ${name} is at most ${goalP99Percent} % longer`,
          ...below(longer('p99'), goalP99Percent, '%'),
        },
        {
          goal: `memory grows at most ${goalMoreMiB} MiB more with ${name}`,
          ...below(of('growthMiB') - base.of('growthMiB'), goalMoreMiB, 'MiB'),
        },
      ];
    }),
    {
      goal: `all ${webhooks} webhooks that answer are told of every push`,
      ...below(Math.max(...waits), longestTellingMs / 1_000, 's'),
    },
  ];
}

const columns = ['', 'pushes/s', 'told after s', 'p50 ms', 'p99 ms', 'CPU-s', 'grew MiB'];

function rowOf(name: string, runs: readonly Measured[], pushes: number): string[] {
  const of = (figure: keyof Measured) => medianOf(runs, figure);
  const others = (['toldSeconds', 'p50', 'p99', 'cpuSeconds', 'growthMiB'] as const).map(of);
  const figures = [pushes / of('seconds'), ...others];
  return [name, ...figures.map((value) => (Number.isNaN(value) ? '' : value.toFixed(1)))];
}

async function measured(receiver: Receiver | undefined, pushes: number): Promise<Measured> {
  await using server = await startBerth({ settings });
  const toldBefore = (await receiver?.told?.()) ?? 0;
  await makeWebhooks(server, receiver === undefined ? [] : Array.from({ length: webhooks }, () => receiver.url));
  await pushTags(server, tagsOf('warm', warmUpPushes), clients);
  const watch = new UsageWatch(server.pid);
  const began = performance.now();
  const took = (await pushTags(server, tagsOf('v', pushes), clients)).toSorted((a, b) => a - b);
  const seconds = (performance.now() - began) / 1_000;
  const { cpuSeconds, rssGrowthBytes } = watch.stop();
  const at = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
  const allTold = toldBefore + webhooks * (warmUpPushes + pushes);
  const toldSeconds = receiver?.told === undefined ? Number.NaN : await secondsUntil(allTold, receiver.told, began);
  return { seconds, toldSeconds, p50: at(0.5), p99: at(0.99), cpuSeconds, growthMiB: rssGrowthBytes / 1024 ** 2 };
}

/** What is not told yet when the pushes are done costs as well: it is waited for. */
async function secondsUntil(count: number, told: () => Promise<number>, began: number): Promise<number> {
  while (performance.now() - began < longestTellingMs) {
    if ((await told()) >= count) return (performance.now() - began) / 1_000;
    await sleep(100);
  }
  return Number.POSITIVE_INFINITY;
}

async function answering(opened: AsyncDisposableStack): Promise<Receiver> {
  const worker = new Worker(new URL('./telling-receiver.ts', import.meta.url));
  opened.defer(async () => void (await worker.terminate()));
  const [url]: unknown[] = await once(worker, 'message');
  const told = async () => {
    worker.postMessage('told');
    const [count]: unknown[] = await once(worker, 'message');
    return z.number().parse(count);
  };
  return { url: z.string().parse(url), told };
}

async function deadAddress(): Promise<Receiver> {
  const { url, close } = await webhookReceiver();
  await close();
  return { url };
}

function tagsOf(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

function medianOf(runs: readonly Measured[], figure: keyof Measured): number {
  return median(runs.map((run) => run[figure]));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** `node bench/telling.ts [PUSHES] [ROUNDS]`: the same as `script/bench --telling`. */
if (import.meta.main) {
  const [, , pushes = '1000', rounds = '5'] = process.argv;
  console.log(machineLine());
  const verdicts = await costOfTelling({ pushes: Number(pushes), rounds: Number(rounds), print: console.log });
  console.log(verdictTable(verdicts));
}
