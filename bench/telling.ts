import { availableParallelism } from 'node:os';
import { makeWebhooks, pushTags } from '../test/faults/webhooks.ts';
import { startBerth } from '../test/support/berth-server.ts';
import { webhookReceiver } from '../test/support/webhook-receiver.ts';
import { machineLine } from './report/machine.ts';
import { UsageWatch } from './server-usage.ts';

/**
 * What webhooks cost pushes: `node bench/telling.ts [PUSHES] [ROUNDS]`. Pushes to a server without webhooks, to one with 20 that answer, and to
 * one with 20 whose receiver is dead (L-17), in turn; the goal is that pushes take at most a tenth longer.
 */
const pushes = Number(process.argv[2] ?? 1_000);
const rounds = Number(process.argv[3] ?? 3);
const webhooks = 20;
const clients = 4;
const settings = { 'outbound-allow': '127.0.0.0/8' };

type Measured = { readonly seconds: number; readonly p50: number; readonly p99: number; readonly growthMiB: number };

async function measure(addresses: readonly string[]): Promise<Measured> {
  await using server = await startBerth({ settings });
  await makeWebhooks(server, addresses);
  await pushTags(server, tagsOf('warm', 100), clients);
  const watch = new UsageWatch(server.pid);
  const began = performance.now();
  const took = (await pushTags(server, tagsOf('v', pushes), clients)).toSorted((a, b) => a - b);
  const seconds = (performance.now() - began) / 1_000;
  const { rssGrowthBytes } = watch.stop();
  const at = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
  return { seconds, p50: at(0.5), p99: at(0.99), growthMiB: rssGrowthBytes / 1024 ** 2 };
}

function tagsOf(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const receiver = await webhookReceiver();
const dead = await webhookReceiver();
await dead.close();
const cases: readonly [string, readonly string[]][] = [
  ['no webhooks', []],
  ['20 webhooks that answer', Array.from({ length: webhooks }, () => receiver.url)],
  ['20 webhooks whose receiver is dead', Array.from({ length: webhooks }, () => dead.url)],
];
const results = new Map<string, Measured[]>(cases.map(([name]) => [name, []]));
for (let round = 0; round < rounds; round += 1)
  for (const [name, addresses] of cases) results.get(name)?.push(await measure(addresses));
await receiver.close();

console.log(
  `${machineLine()}; ${availableParallelism()} cores; ${pushes} pushes of ${clients} clients, median of ${rounds}\n`,
);
console.log('| | pushes/s | p50 ms | p99 ms | memory MiB | pushes take |\n|---|---|---|---|---|---|');
const baseline = median((results.get('no webhooks') ?? []).map(({ seconds }) => seconds));
for (const [name, runs] of results) {
  const of = (figure: keyof Measured) => median(runs.map((run) => run[figure]));
  const longer = `${((of('seconds') / baseline - 1) * 100).toFixed(1)} % longer`;
  const cells = [pushes / of('seconds'), of('p50'), of('p99'), of('growthMiB')].map((value) => value.toFixed(1));
  console.log(`| ${[name, ...cells, longer].join(' | ')} |`);
}
