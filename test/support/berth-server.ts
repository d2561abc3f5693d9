import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { systemIds } from '../../src/platform/system-ids.ts';
import { Daemon } from './daemon.ts';
import { freePort } from './free-port.ts';
import { databaseUrl, onPostgres, testPostgresUrl } from './postgres.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { waitFor } from './wait-for.ts';

/** The file that the first start writes: docs/reference, "bootstrap.json". */
const bootstrapSchema = z.object({
  tenantId: z.string(),
  subscriptionId: z.string(),
  caCertificate: z.string(),
  endpoints: z.record(z.string(), z.string()),
  owner: z.object({ clientId: z.string(), clientSecret: z.string(), userName: z.string(), password: z.string() }),
  registry: z.object({ name: z.string(), loginServer: z.string(), username: z.string(), password: z.string() }),
});
export type Bootstrap = z.infer<typeof bootstrapSchema>;

export type BerthOptions = {
  /** Settings by the name of their flag without dashes: `{ 'token-lifetime': '2s' }`; `true` for a flag without a value. */
  readonly settings?: Readonly<Record<string, string | true>>;
  readonly env?: Readonly<Record<string, string>>;
  /** `postgres` makes an empty database for this server; BERTH_TEST_DATABASE or embedded SQLite when absent. */
  readonly database?: 'sqlite' | 'postgres';
  /** A PostgreSQL database that exists already, with the master key in `env`. */
  readonly databaseUrl?: string;
  /** Where the data lives; without it a new temporary folder, which `remove` deletes. */
  readonly dataFolder?: string;
  /** Ports of an earlier server whose addresses shall stay the same. */
  readonly ports?: Ports;
};

export type Ports = { readonly http: number; readonly https: number };

const repository = join(import.meta.dirname, '../..');
/** Against hanging; how quickly a server starts is measured elsewhere. */
const readyTimeoutMs = 120_000;

/** A running server of this repository. Addresses are origins (`http://localhost:20123`), without a slash at the end. */
export class BerthServer {
  readonly http: string;
  readonly https: string;
  readonly ports: Ports;
  readonly dataFolder: string;
  readonly bootstrap: Bootstrap;
  /** For `startBerth`: another server on the same data, database, ports and settings, after this one has ended. */
  readonly again: BerthOptions;
  readonly #daemon: Daemon;
  readonly #removeFolder: () => void;

  constructor(parts: {
    readonly daemon: Daemon;
    readonly again: BerthOptions & Place;
    readonly bootstrap: Bootstrap;
    readonly removeFolder: () => void;
  }) {
    this.ports = parts.again.ports;
    this.http = `http://localhost:${this.ports.http}`;
    this.https = `https://localhost:${this.ports.https}`;
    this.dataFolder = parts.again.dataFolder;
    this.again = parts.again;
    this.bootstrap = parts.bootstrap;
    this.#daemon = parts.daemon;
    this.#removeFolder = parts.removeFolder;
  }

  get pid(): number {
    return this.#daemon.pid;
  }

  /** The certificate of the private authority that signed the server's certificates. */
  get caPath(): string {
    return this.bootstrap.caCertificate;
  }

  /** Credential of the default registry that may push, pull and delete. */
  get admin(): { readonly username: string; readonly password: string } {
    return this.bootstrap.registry;
  }

  /** Resolves with the exit code when the process has ended by itself or by a signal. */
  get exited(): Promise<number> {
    return this.#daemon.exited;
  }

  get running(): boolean {
    return this.#daemon.running;
  }

  /** Everything the server printed so far, its log. */
  log(): string {
    return this.#daemon.log();
  }

  signal(signal: NodeJS.Signals): void {
    this.#daemon.signal(signal);
  }

  /** SIGTERM; resolves with the exit code. Data stays. */
  async stop(): Promise<number> {
    return await this.#daemon.stop();
  }

  /** SIGKILL; resolves when the process is gone. Data stays. */
  async kill(): Promise<void> {
    await this.#daemon.kill();
  }

  /** Stops the server and deletes its data folder, unless the caller gave that folder. */
  async remove(): Promise<void> {
    await this.stop();
    this.#removeFolder();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }
}

/**
 * Starts `bin/berth serve` (or the program that `BERTH_TEST_PROGRAM` names, to test another build) on free loopback ports
 * and returns when `/readyz` answers 200. Throws with the server's output when it ends or is not ready in time.
 */
export async function startBerth(options: BerthOptions = {}): Promise<BerthServer> {
  const folder = options.dataFolder === undefined ? temporaryFolder('server') : undefined;
  const place: Place = {
    dataFolder: options.dataFolder ?? join(folder?.path ?? '', 'data'),
    ports: options.ports ?? { http: await freePort(), https: await freePort() },
    ...(await databaseOf(options)),
  };
  const daemon = new Daemon({
    command: process.env.BERTH_TEST_PROGRAM ?? join(repository, 'bin/berth'),
    args: ['serve', ...flagsOf(options.settings ?? {}, place)],
    logFile: `${place.dataFolder}.log`,
    env: { ...place.env, ...options.env },
  });
  const removeFolder = () => folder?.remove();
  try {
    await untilReady(daemon, `http://localhost:${place.ports.http}/readyz`, readyTimeoutMs);
    const again = { ...options, ...place };
    return new BerthServer({ daemon, again, bootstrap: readBootstrap(place.dataFolder), removeFolder });
  } catch (cause) {
    await daemon.kill();
    const log = daemon.log();
    removeFolder();
    throw new Error(`the server did not start:\n${log}`, { cause });
  }
}

/** Where a server's data is and how it is reached. */
type Place = Required<Pick<BerthOptions, 'dataFolder' | 'ports'>> & Pick<BerthOptions, 'databaseUrl' | 'env'>;

/** An empty PostgreSQL database and the master key that a server on PostgreSQL must be given; nothing for SQLite. */
async function databaseOf(options: BerthOptions): Promise<Pick<BerthOptions, 'databaseUrl' | 'env'>> {
  const kind = options.database ?? process.env.BERTH_TEST_DATABASE ?? 'sqlite';
  if (options.databaseUrl !== undefined) return { databaseUrl: options.databaseUrl, env: options.env ?? {} };
  if (kind === 'sqlite') return {};
  const url = await testPostgresUrl();
  const name = `berth_${systemIds.uid()}`;
  await onPostgres(url, async (client) => {
    await client.query(`create database ${name}`);
  });
  return {
    databaseUrl: databaseUrl(url, name),
    env: { BERTH_MASTER_KEY: randomBytes(32).toString('base64'), ...options.env },
  };
}

function flagsOf(settings: Readonly<Record<string, string | true>>, place: Place): string[] {
  const all: Record<string, string | true> = {
    data: place.dataFolder,
    http: `localhost:${place.ports.http}`,
    https: `localhost:${place.ports.https}`,
    ...(place.databaseUrl === undefined ? {} : { database: place.databaseUrl }),
    ...settings,
  };
  return Object.entries(all).flatMap(([name, value]) => (value === true ? [`--${name}`] : [`--${name}`, value]));
}

async function untilReady(daemon: Daemon, readyUrl: string, timeoutMs: number): Promise<void> {
  await waitFor('the server answers /readyz', timeoutMs, async () => {
    if (!daemon.running) return true;
    const answer = await fetch(readyUrl, { signal: AbortSignal.timeout(5_000) });
    await answer.body?.cancel();
    return answer.status === 200;
  });
  if (!daemon.running) throw new Error(`the server ended with code ${await daemon.exited}`);
}

function readBootstrap(dataFolder: string): Bootstrap {
  return bootstrapSchema.parse(JSON.parse(readFileSync(join(dataFolder, 'bootstrap.json'), 'utf8')));
}
