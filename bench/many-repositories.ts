import { createHash } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { startBerth } from '../test/support/berth-server.ts';
import { databaseUrl, onPostgres } from '../test/support/postgres.ts';
import { startPostgresCluster } from '../test/support/postgres-cluster.ts';
import { run } from '../test/support/run.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { type Filling, fillRepositories, imagesOf, repositoryName } from './fill-repositories.ts';
import { headerOf } from './http/answer-reader.ts';
import { Connection } from './http/connection.ts';
import { SteadyRandom } from './random.ts';
import { Recorder } from './recorder.ts';
import { below, type Verdict } from './report/goals.ts';
import { together } from './sequence.ts';
import { basicLine } from './servers/target.ts';

export type ManyRepositories = {
  /** Each holds 100 manifests: 80 with a tag, 20 that refer to the first. */
  readonly repositories: number;
  /** Of each kind. */
  readonly requests: number;
  /** Connections that ask at once. */
  readonly clients: number;
  readonly print: (line: string) => void;
};

type Berth = Awaited<ReturnType<typeof startBerth>>;

const program = join(import.meta.dirname, '../bin/berth');
const masterKey = Buffer.alloc(32, 7).toString('base64');
const starts = 3;

/** A server on PostgreSQL that holds very much: what its reads and its start take, and (F-25) a backup and a restore. */
export async function manyRepositories(options: ManyRepositories): Promise<Verdict[]> {
  const { repositories, print } = options;
  await using cluster = await startPostgresCluster();
  using folder = temporaryFolder('many-repositories');
  const env = { BERTH_MASTER_KEY: masterKey };
  const dataFolder = join(folder.path, 'data');
  let server = await startBerth({ databaseUrl: cluster.url, dataFolder, env });
  const filling = { registryUid: await registryUid(cluster.url), repositories, manifestsEach: 100 };
  const filledMs = await timed(() => onPostgres(cluster.url, (client) => fillRepositories(client, filling, print)));
  print(`${repositories * filling.manifestsEach} manifests written in ${(filledMs / 1000).toFixed(0)} s`);

  const startsMs: number[] = [];
  for (let start = 0; start < starts; start += 1) {
    await server.stop();
    const { again } = server;
    startsMs.push(
      await timed(async () => {
        server = await startBerth(again);
      }),
    );
  }
  const reads = await readsOf(server, filling, options);
  const recovery = await recoveryOf({ url: cluster.url, folder: folder.path, dataFolder, env });
  await server.stop();
  const slowest = below(Math.max(...startsMs) / 1000, 2, 's');
  return [...reads, { goal: `Ready, slowest of ${starts} starts < 2 s`, ...slowest }, ...recovery];
}

async function readsOf(server: Berth, filling: Filling, options: ManyRepositories): Promise<Verdict[]> {
  const reader = new Reader(server, options);
  const { repositories } = filling;
  const anyRepository = (random: SteadyRandom) => repositoryName(random.below(repositories));
  const subjects: { readonly repository: string; readonly digest: string }[] = [];
  for (let index = 0; index < 200; index += 1) {
    const repository = repositoryName((index * 7919) % repositories);
    subjects.push({ repository, digest: await reader.digestOf(repository, 't0') });
  }
  const kinds: readonly (readonly [name: string, pathOf: (random: SteadyRandom) => string])[] = [
    ['Manifest GET by tag', (random) => `/v2/${anyRepository(random)}/manifests/t${random.below(imagesOf(filling))}`],
    ['Page of 100 tags', (random) => `/v2/${anyRepository(random)}/tags/list?n=100`],
    ['Catalog page of 100', (random) => `/v2/_catalog?n=100&last=${anyRepository(random)}`],
    [
      'Referrers (20)',
      (random) => {
        const { repository, digest } = subjects[random.below(subjects.length)] ?? { repository: '', digest: '' };
        return `/v2/${repository}/referrers/${digest}`;
      },
    ],
  ];
  const verdicts: Verdict[] = [];
  for (const [name, pathOf] of kinds) verdicts.push(await reader.measured(name, pathOf));
  return verdicts;
}

class Reader {
  readonly #origin: URL;
  readonly #authorization: string;
  readonly #options: ManyRepositories;

  constructor(server: Berth, options: ManyRepositories) {
    this.#origin = new URL(server.http);
    this.#authorization = basicLine(server.admin);
    this.#options = options;
  }

  async measured(name: string, pathOf: (random: SteadyRandom) => string): Promise<Verdict> {
    const { requests, print } = this.#options;
    await this.#send(new Recorder(), requests / 4, pathOf, 7);
    const recorder = new Recorder();
    await this.#send(recorder, requests, pathOf, 1);
    if (recorder.failed > 0) throw new Error(`${name}: ${[...recorder.errors.keys()].join('; ')}`);
    const { p50, p99, max } = recorder.latency();
    print(`${name}: p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, longest ${max.toFixed(2)} ms of ${recorder.count}`);
    return { goal: `${name} p99 < 15 ms`, ...below(p99, 15, 'ms') };
  }

  async #send(
    recorder: Recorder,
    count: number,
    pathOf: (random: SteadyRandom) => string,
    seed: number,
  ): Promise<void> {
    const { clients } = this.#options;
    await together(clients, async (client) => {
      const connection = new Connection(this.#origin);
      const random = new SteadyRandom(seed + client);
      for (let done = client; done < count; done += clients) {
        const path = pathOf(random);
        await recorder.sequence(async () => {
          const { status } = await connection.send({ head: this.#headOf(path), keepsBody: false });
          if (status !== 200) throw new Error(`${status} for ${path}`);
        });
      }
      connection.close();
    });
  }

  /** Also sees that the server gives what was written. */
  async digestOf(repository: string, tag: string): Promise<string> {
    const connection = new Connection(this.#origin);
    const head = this.#headOf(`/v2/${repository}/manifests/${tag}`);
    const answer = await connection.send({ head, keepsBody: true });
    connection.close();
    const digest = `sha256:${createHash('sha256').update(answer.body).digest('hex')}`;
    if (headerOf(answer, 'docker-content-digest') !== digest) throw new Error(`${repository}:${tag} is not there`);
    return digest;
  }

  #headOf(path: string): string {
    return [`GET ${path} HTTP/1.1`, this.#authorization, 'Accept: */*', ''].join('\r\n');
  }
}

/** Of the database: the images name one blob that is not there. The second of two backups, beside the server, is what recurs. */
async function recoveryOf(at: {
  readonly url: string;
  readonly folder: string;
  readonly dataFolder: string;
  readonly env: Readonly<Record<string, string>>;
}): Promise<Verdict[]> {
  const { env, url } = at;
  const backups = join(at.folder, 'backups');
  const berth = (args: readonly string[]) => run(program, args, { env, timeoutMs: 1_800_000 });
  const backup = () => berth(['backup', '--database', url, '--data', at.dataFolder, '--to', backups]);
  await backup();
  const backupMs = await timed(backup);
  await onPostgres(url, (client) => client.query('create database restored'));
  const restored = databaseUrl(url, 'restored');
  const dataFolder = join(at.folder, 'restored');
  const restoreMs = await timed(async () => {
    await berth(['restore', '--database', restored, '--data', dataFolder, '--from', backups]);
    // What the helper that starts servers reads; the server does without it.
    copyFileSync(join(at.dataFolder, 'bootstrap.json'), join(dataFolder, 'bootstrap.json'));
    await using server = await startBerth({ databaseUrl: restored, dataFolder, env });
    if (!server.running) throw new Error('the restored server has ended');
  });
  return [
    { goal: 'Backup (RPO, F-25) < 5 min', ...below(backupMs / 60_000, 5, 'min') },
    { goal: 'Restore until ready (RTO, F-25) < 10 min', ...below(restoreMs / 60_000, 10, 'min') },
  ];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function registryUid(url: string): Promise<string> {
  return await onPostgres(url, async (client) => {
    const { rows } = await client.query<{ uid: string }>('select uid from registries');
    const [row] = rows;
    if (row === undefined) throw new Error('the server made no registry');
    return row.uid;
  });
}
