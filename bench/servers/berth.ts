import { join } from 'node:path';
import { type BerthServer, startBerth } from '../../test/support/berth-server.ts';
import { startPostgresCluster } from '../../test/support/postgres-cluster.ts';
import type { ServerKind } from './server-kind.ts';
import { basicLine } from './target.ts';

export type BerthOptions = {
  /** Measures over TLS. */
  readonly usesHttps: boolean;
  /** Folder for one CPU profile per process; absent for none. */
  readonly profileFolder?: string;
  /** Processes that answer requests. */
  readonly workers?: number;
  /** Keeps its metadata in a PostgreSQL of its own, on the same disk, in place of SQLite. */
  readonly usesPostgres?: boolean;
};

const masterKey = Buffer.alloc(32, 7).toString('base64');

/** This repository's server with its defaults, signed in as the registry's admin account. */
export function berth(options: BerthOptions): ServerKind {
  const { workers = 1, usesPostgres = false } = options;
  const settings = { workers: String(workers) };
  const name = usesPostgres ? 'berth-postgres' : workers === 1 ? 'berth' : `berth-${workers}-workers`;
  return {
    name,
    durability: 'fsync of bytes, folder entry and database row before 201',
    start: async (folder) => {
      const dataFolder = join(folder, 'data');
      const cluster = usesPostgres ? await startPostgresCluster() : undefined;
      const env = { ...profilingEnv(options.profileFolder), ...(cluster && { BERTH_MASTER_KEY: masterKey }) };
      const place = cluster === undefined ? { database: 'sqlite' as const } : { databaseUrl: cluster.url };
      let server = await startBerth({ ...place, dataFolder, env, settings });
      const credentials = server.admin;
      return {
        target: {
          name,
          origin: new URL(options.usesHttps ? server.https : server.http),
          credentials,
          authorizationLines: [basicLine(credentials)],
          pid: () => server.pid,
          restart: async () => {
            const ports = server.ports;
            await stopped(server);
            const start = performance.now();
            server = await startBerth({ ...place, dataFolder, ports, env, settings });
            return performance.now() - start;
          },
        },
        stop: async () => {
          await stopped(server);
          await cluster?.[Symbol.asyncDispose]();
        },
      };
    },
  };
}

async function stopped(server: BerthServer): Promise<void> {
  const code = await server.stop();
  if (code !== 0) throw new Error(`the server ended with code ${code}:\n${server.log().slice(-2000)}`);
}

function profilingEnv(folder: string | undefined): Record<string, string> {
  return folder === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-interval 500 --cpu-prof-dir=${folder}` };
}
