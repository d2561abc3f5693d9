import { BusyBuilds } from '../test/faults/busy-builds.ts';
import { ManifestReaders } from '../test/faults/manifest-readers.ts';
import { readInTurn } from '../test/faults/read-in-turn.ts';
import { startBerth } from '../test/support/berth-server.ts';
import { MiB } from './images.ts';
import { machineLine } from './report/machine.ts';
import { UsageWatch } from './server-usage.ts';

/**
 * What builds cost pulls (L-18): `node bench/building.ts [SECONDS] [ROUNDS]`. Manifest GET by tag with 64 connections beside two builds that
 * never rest, on the server's own agent, and while they pause, in turn; the goal is a p99 at most twice as long, and a server below 300 MiB.
 */
const seconds = Number(process.argv[2] ?? 2);
const rounds = Number(process.argv[3] ?? 15);
const clients = 64;
const count = 2;

await using server = await startBerth();
using readers = await ManifestReaders.begin(server, clients);
await using builds = await BusyBuilds.begin(server, { count, cpus: 2, heldBytes: 64 * MiB });
await readers.read(seconds * 1000);
// Its agent is a child of it, and the builds are children of that: their memory has limits of its own.
const watch = new UsageWatch(server.pid, { hasChildren: false });
const { ratio, alone, beside } = await readInTurn(readers, builds, { pairs: rounds, sliceMs: seconds * 1000 });
const serverMiB = watch.stop().peakRssBytes / MiB;

console.log(
  `${machineLine()}; manifest GET by tag, ${clients} connections, ${seconds} s, median of ${rounds}; server at most ${serverMiB.toFixed(0)} MiB\n`,
);
console.log('| | req/s | p50 ms | p99 ms | times |\n|---|---|---|---|---|');
for (const [what, { perSecond, p50, p99 }, times] of [
  ['no build', alone, 1],
  [`${count} builds`, beside, ratio],
] as const)
  console.log(
    `| ${[what, ...[perSecond, p50, p99].map((cell) => cell.toFixed(1)), `${times.toFixed(2)}x`].join(' | ')} |`,
  );
