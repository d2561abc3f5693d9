import { z } from 'zod';
import { azRest } from '../test/support/az-rest.ts';
import { startBerth } from '../test/support/berth-server.ts';
import { Recorder } from './recorder.ts';
import { machineLine } from './report/machine.ts';
import { UsageWatch } from './server-usage.ts';

/** How long the control plane takes for one request after the other: `node bench/control-plane.ts [REGISTRIES]`. */
const registries = Number(process.argv[2] ?? 5_000);
const reads = 2_000;
const listings = 10;
const makers = 8;
const pageSchema = z.object({ value: z.array(z.unknown()), nextLink: z.string().exactOptional() });

await using server = await startBerth();
const rest = await azRest(server);
const group = `${rest.subscription}/resourceGroups/bench`;
const provider = `${group}/providers/Microsoft.ContainerRegistry/registries`;

async function make(): Promise<void> {
  await rest.done('PUT', group, { location: 'local' });
  const body = { location: 'local', sku: { name: 'Basic' } };
  const names = Array.from({ length: registries }, (_, index) => nameOf(index));
  await Promise.all(
    Array.from({ length: makers }, async () => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        await rest.done('PUT', `${provider}/${name}`, body);
      }
    }),
  );
}

async function show(recorder: Recorder): Promise<void> {
  for (let read = 0; read < reads; read++) {
    const path = `${provider}/${nameOf((read * 7919) % registries)}`;
    await recorder.sequence(async () => await rest.done('GET', path));
  }
}

/** Every page that begins with `firstPage`. */
async function list(recorder: Recorder, firstPage: string): Promise<void> {
  for (let listing = 0; listing < listings; listing++) {
    let page: string | undefined = firstPage;
    let found = 0;
    while (page !== undefined) {
      const start = performance.now();
      const { value, nextLink } = await pageOf(page);
      recorder.timed(performance.now() - start);
      found += value.length;
      page = nextLink?.slice(new URL(nextLink).origin.length);
    }
    // The default registry is one more.
    if (found !== registries + 1) throw new Error(`${found} registries listed, expected ${registries + 1}`);
  }
}

async function pageOf(path: string): Promise<z.infer<typeof pageSchema>> {
  const answer = await rest.send('GET', path);
  if (answer.status !== 200) throw new Error(`status ${answer.status}, expected 200: ${await answer.text()}`);
  return pageSchema.parse(await answer.json());
}

async function measured(name: string, work: (recorder: Recorder) => Promise<void>): Promise<void> {
  await work(new Recorder());
  const recorder = new Recorder();
  const watch = new UsageWatch(server.pid);
  await work(recorder);
  const { cpuSeconds } = watch.stop();
  if (recorder.failed > 0) throw new Error(`${name}: ${[...recorder.errors.keys()].join('; ')}`);
  const { p50, p99, max } = recorder.latency();
  const cells = [p50, p99, max, (cpuSeconds * 1_000) / recorder.count].map((ms) => ms.toFixed(2));
  console.log(`| ${[name, recorder.count, ...cells].join(' | ')} |`);
}

function nameOf(index: number): string {
  return `registry${String(index).padStart(6, '0')}`;
}

console.log(machineLine());
const start = performance.now();
await make();
console.log(`${registries} registries made in ${((performance.now() - start) / 1_000).toFixed(1)} s\n`);
console.log('| Request | Requests | p50 ms | p99 ms | longest ms | server CPU ms each |\n|---|---|---|---|---|---|');
await measured('GET of a registry', show);
const version = 'api-version=2022-02-01-preview';
const everyRegistry = `${rest.subscription}/providers/Microsoft.ContainerRegistry/registries?${version}`;
await measured('page of `az acr list` (250)', async (recorder) => await list(recorder, everyRegistry));
const type = encodeURIComponent("resourceType eq 'Microsoft.ContainerRegistry/registries'");
const lookUp = `${rest.subscription}/resources?$filter=${type}&${version}`;
await measured('page of the look-up by name (250)', async (recorder) => await list(recorder, lookUp));
