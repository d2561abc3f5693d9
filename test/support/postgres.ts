import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { waitFor } from './wait-for.ts';

const binaries = '/usr/lib/postgresql/15/bin';
const urlVariable = 'BERTH_TEST_POSTGRES_URL';
const user = 'postgres';
const startTimeoutMs = 120_000;

/**
 * Address of the maintenance database of a PostgreSQL 15 server that the tests may fill: the one in BERTH_TEST_POSTGRES_URL, else
 * one that this process starts at first use and takes with it at its end. Throws when PostgreSQL is not installed.
 */
export function testPostgresUrl(): Promise<string> {
  shared ??= fromVariable() ?? startCluster();
  return shared;
}

let shared: Promise<string> | undefined;

/** For `node --test --test-global-setup`: one server for all test files, which inherit its address. */
export async function globalSetup(): Promise<void> {
  process.env[urlVariable] = await testPostgresUrl();
}

function fromVariable(): Promise<string> | undefined {
  const url = process.env[urlVariable];
  return url === undefined ? undefined : Promise.resolve(url);
}

/** In a temporary folder, reached through a Unix socket there; fsync stays on, because the product's promises rest on it. */
async function startCluster(): Promise<string> {
  if (!existsSync(join(binaries, 'postgres')))
    throw new Error(`the tests need PostgreSQL 15 in ${binaries}: install it with "apt-get install postgresql-15"`);
  const folder = mkdtempSync(join(tmpdir(), 'berth-postgres-'));
  const data = join(folder, 'data');
  handOver(folder);
  runAsOwner('initdb', ['-D', data, '-U', user, '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync']);
  const logFile = join(folder, 'log');
  const log = openSync(logFile, 'a');
  // The parent-death signal stops the server when the test process is killed; INT makes it a fast shutdown.
  const server = spawn(
    'setpriv',
    [
      '--pdeathsig=INT',
      ...ownerOptions(),
      join(binaries, 'postgres'),
      ...[
        '-D',
        data,
        '-k',
        folder,
        '-c',
        'listen_addresses=',
        '-c',
        'max_connections=200',
        '-c',
        'shared_buffers=64MB',
      ],
    ],
    { stdio: ['ignore', log, log] },
  );
  closeSync(log);
  server.unref();
  process.once('exit', () => {
    runAsOwner('pg_ctl', ['stop', '-D', data, '-m', 'immediate']);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  const url = `postgres://${user}@/postgres?host=${encodeURIComponent(folder)}`;
  await waitFor('PostgreSQL accepts connections', startTimeoutMs, async () => {
    if (server.exitCode !== null) throw new Error(readFileSync(logFile, 'utf8'));
    await onPostgres(url, async () => {});
    return true;
  });
  return url;
}

/** PostgreSQL refuses to run as root; then Debian's user `postgres` owns the server and its files. */
function ownerOptions(): string[] {
  return isRoot() ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
}

function handOver(folder: string): void {
  if (!isRoot()) return;
  chmodSync(folder, 0o755);
  const { status } = spawnSync('chown', ['postgres:postgres', folder]);
  if (status !== 0) throw new Error('cannot give a folder to the user postgres, which the package postgresql-15 makes');
}

function runAsOwner(program: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync('setpriv', [...ownerOptions(), join(binaries, program), ...args], {
    encoding: 'utf8',
    cwd: '/',
  });
  if (status !== 0) throw new Error(`${program} failed:\n${stdout}${stderr}`);
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Runs `work` on one connection to the database at `url`. */
export async function onPostgres<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 60_000 });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The address of another database of the same server. */
export function databaseUrl(url: string, database: string): string {
  return url.replace(/\/[^/?]*(\?|$)/, `/${database}$1`);
}
