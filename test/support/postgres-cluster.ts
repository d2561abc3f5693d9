import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import { onPostgres } from './postgres.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { waitFor } from './wait-for.ts';

const binaries = '/usr/lib/postgresql/15/bin';

/** A PostgreSQL server that a test may stop and start; reached through a Unix socket. Disposing removes it. */
export type PostgresCluster = AsyncDisposable & {
  readonly url: string;
  /** Kills every process of the server without a checkpoint, as a crash does, and starts it again. */
  readonly crash: () => void;
  readonly stop: () => void;
  readonly start: () => void;
};

export async function startPostgresCluster(): Promise<PostgresCluster> {
  const folder = temporaryFolder('postgres-cluster');
  const data = join(folder.path, 'data');
  if (process.getuid?.() === 0) {
    chmodSync(folder.path, 0o755);
    spawnSync('chown', ['postgres:postgres', folder.path]);
  }
  asOwner('initdb', ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync']);
  const settings = [`unix_socket_directories = '${folder.path}'`, "listen_addresses = ''", 'max_connections = 100'];
  appendFileSync(join(data, 'postgresql.conf'), `${settings.join('\n')}\n`);
  const log = join(folder.path, 'log');
  const start = () => asOwner('pg_ctl', ['start', '-w', '-s', '-D', data, '-l', log]);
  const stop = () => asOwner('pg_ctl', ['stop', '-w', '-s', '-D', data, '-m', 'immediate']);
  const url = `postgres://postgres@/postgres?host=${encodeURIComponent(folder.path)}`;
  start();
  await waitFor('PostgreSQL accepts connections', 120_000, () => onPostgres(url, async () => true));
  return {
    url,
    start,
    stop,
    crash: () => {
      stop();
      start();
    },
    [Symbol.asyncDispose]: async () => {
      stop();
      folder.remove();
    },
  };
}

/** PostgreSQL refuses to run as root; then Debian's user `postgres` owns the server and its files. */
function asOwner(program: string, args: readonly string[]): void {
  const owner = process.getuid?.() === 0 ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
  // Not piped: the server keeps its end open.
  const { status } = spawnSync('setpriv', [...owner, join(binaries, program), ...args], { cwd: '/', stdio: 'ignore' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed with code ${status}`);
}
