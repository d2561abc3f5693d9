import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { startBerth } from '../test/support/berth-server.ts';
import { onPostgres } from '../test/support/postgres.ts';
import { startPostgresCluster } from '../test/support/postgres-cluster.ts';
import { fillRepositories, imagesOf, repositoryName } from './fill-repositories.ts';
import { headerOf } from './http/answer-reader.ts';
import { Connection } from './http/connection.ts';
import { SteadyRandom } from './random.ts';
import { Recorder } from './recorder.ts';
import { machineLine } from './report/machine.ts';
import { together } from './sequence.ts';
import { basicLine } from './servers/target.ts';

/*
 * Reads of a server on PostgreSQL that holds very much: node bench/many-repositories.ts
 *   --repositories N   10,000 unless given; each holds 100 manifests, 80 of them tagged, 20 that refer to the first
 *   --requests N       of each kind (2,000)
 *   --clients N        connections that ask at once (4)
 */
const { values } = parseArgs({
  options: {
    repositories: { type: 'string', default: '10000' },
    requests: { type: 'string', default: '2000' },
    clients: { type: 'string', default: '4' },
  },
});
const repositories = Number(values.repositories);
const requests = Number(values.requests);
const clients = Number(values.clients);
const manifestsEach = 100;
const goalMs = 15;
const goalStartMs = 2_000;

await using cluster = await startPostgresCluster();
const masterKey = Buffer.alloc(32, 7).toString('base64');
let server = await startBerth({ databaseUrl: cluster.url, env: { BERTH_MASTER_KEY: masterKey } });
console.log(machineLine());
const filling = { registryUid: await registryUid(), repositories, manifestsEach };
const began = performance.now();
await onPostgres(cluster.url, (client) =>
  fillRepositories(client, filling, (line) => void process.stderr.write(`${line}\n`)),
);
const seconds = ((performance.now() - began) / 1_000).toFixed(0);
console.log(`${repositories * manifestsEach} manifests in ${repositories} repositories written in ${seconds} s\n`);

const starts: number[] = [];
for (let start = 0; start < 3; start += 1) {
  await server.stop();
  const startMs = performance.now();
  server = await startBerth(server.again);
  starts.push(performance.now() - startMs);
}
const authorization = basicLine(server.admin);
const subject = await digestOf(repositoryName(0), 't0');
if (subject === undefined) throw new Error('the first image is not there');

console.log('| Request | Requests | p50 ms | p99 ms | longest ms | p99 under 15 ms |\n|---|---|---|---|---|---|');
await measured('manifest GET by tag', (random) => {
  return `/v2/${anyRepository(random)}/manifests/t${random.below(imagesOf(filling))}`;
});
await measured('page of 100 tags', (random) => `/v2/${anyRepository(random)}/tags/list?n=100`);
await measured('catalog page of 100', (random) => `/v2/_catalog?n=100&last=${anyRepository(random)}`);
const subjects = await subjectsOf(200);
await measured('referrers (20)', (random) => {
  const { repository, digest } = subjects[random.below(subjects.length)] ?? { repository: '', digest: '' };
  return `/v2/${repository}/referrers/${digest}`;
});
const slowest = Math.max(...starts);
console.log(
  `\nready after ${starts.map((ms) => (ms / 1_000).toFixed(2)).join(', ')} s: ${slowest < goalStartMs ? 'met' : 'missed'} (2 s)`,
);
await server.stop();

function anyRepository(random: SteadyRandom): string {
  return repositoryName(random.below(repositories));
}

async function measured(name: string, pathOf: (random: SteadyRandom) => string): Promise<void> {
  await run(new Recorder(), requests / 4, pathOf, 7);
  const recorder = new Recorder();
  await run(recorder, requests, pathOf, 1);
  if (recorder.failed > 0) throw new Error(`${name}: ${[...recorder.errors.keys()].join('; ')}`);
  const { p50, p99, max } = recorder.latency();
  const cells = [p50, p99, max].map((ms) => ms.toFixed(2));
  console.log(`| ${[name, recorder.count, ...cells, p99 < goalMs ? 'met' : 'missed'].join(' | ')} |`);
}

async function run(
  recorder: Recorder,
  count: number,
  pathOf: (random: SteadyRandom) => string,
  seed: number,
): Promise<void> {
  await together(clients, async (client) => {
    const connection = new Connection(new URL(server.http));
    const random = new SteadyRandom(seed + client);
    for (let done = client; done < count; done += clients) {
      const path = pathOf(random);
      await recorder.sequence(async () => {
        const { status } = await connection.send({ head: headOf(path), keepsBody: false });
        if (status !== 200) throw new Error(`${status} for ${path}`);
      });
    }
    connection.close();
  });
}

async function subjectsOf(count: number): Promise<{ readonly repository: string; readonly digest: string }[]> {
  const found = [];
  for (let index = 0; index < count; index += 1) {
    const repository = repositoryName((index * 7919) % repositories);
    const digest = await digestOf(repository, 't0');
    if (digest !== undefined) found.push({ repository, digest });
  }
  return found;
}

/** Also sees that the server gives what was written. */
async function digestOf(repository: string, tag: string): Promise<string | undefined> {
  const connection = new Connection(new URL(server.http));
  const answer = await connection.send({ head: headOf(`/v2/${repository}/manifests/${tag}`), keepsBody: true });
  connection.close();
  const digest = `sha256:${createHash('sha256').update(answer.body).digest('hex')}`;
  return headerOf(answer, 'docker-content-digest') === digest ? digest : undefined;
}

function headOf(path: string): string {
  return [`GET ${path} HTTP/1.1`, authorization, 'Accept: */*', ''].join('\r\n');
}

async function registryUid(): Promise<string> {
  return await onPostgres(cluster.url, async (client) => {
    const { rows } = await client.query<{ uid: string }>('select uid from registries');
    const [row] = rows;
    if (row === undefined) throw new Error('the server made no registry');
    return row.uid;
  });
}
