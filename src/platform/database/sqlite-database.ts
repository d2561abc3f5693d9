import { closeSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs';
import { Kysely } from 'kysely';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import type { Log } from '../log.ts';
import type { Database } from './database.ts';
import { migrate } from './migrate.ts';
import type { Schema } from './schema.ts';
import { SqliteCheckpoints } from './sqlite-checkpoints.ts';
import { commitsBeside, commitsInside, type SyncFailed } from './sqlite-commits.ts';
import { SqliteConnection } from './sqlite-connection.ts';
import { SqliteDialect } from './sqlite-dialect.ts';
import { SqliteWriter } from './sqlite-writer.ts';

export type SqliteOptions = {
  /** Made when it does not exist, readable by this user alone; two more files appear beside it (`-wal`, `-shm`). */
  readonly file: string;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log?: Pick<Log, 'error'>;
  /** Nobody has the file open yet: what an earlier process left in the WAL is moved, and room is made for the WAL. For servers. */
  readonly isFirst?: boolean;
  /** Other processes open the file too, and read what this one commits. */
  readonly isShared?: boolean;
  /** Ends the process: the disk did not take a commit or a checkpoint. Until it has, every transaction is refused. */
  readonly onSyncFailed?: () => void;
};

const readerWaitMs = 5_000;
/** Another process may be migrating; at the start blocking harms nobody. */
const migrationWaitMs = 60_000;
const readerCacheKibibytes = 32 * 1024;
const writerCacheKibibytes = 16 * 1024;
/** Somewhat more than the WAL gathers before a checkpoint begins. */
const reservedWalBytes = 20 * 1024 * 1024;

/**
 * Opens the embedded database and brings its schema up to date. One connection reads, one writes (house plan, idea 1).
 * Its clock is the passed one: all processes of one file share a machine. Throws when the file was written by a newer program,
 * or SQLite has known faults (older than 3.51.3).
 */
export async function openSqlite(options: SqliteOptions): Promise<Database> {
  const { file, isFirst = false } = options;
  refuseOldSqlite(process.versions.sqlite ?? '0');
  closeSync(openSync(file, 'a', 0o600));
  const write = new SqliteConnection({
    file,
    isReadOnly: false,
    busyTimeoutMs: migrationWaitMs,
    cacheKibibytes: writerCacheKibibytes,
  });
  try {
    await migrate(new Kysely<Schema>({ dialect: new SqliteDialect(write) }), 'sqlite');
    write.neverBlock();
    if (isFirst && write.emptyWal()) reserveWal(write, walOf(file));
    const read = new SqliteConnection({
      file,
      isReadOnly: true,
      busyTimeoutMs: readerWaitMs,
      cacheKibibytes: readerCacheKibibytes,
    });
    return databaseOf(read, write, options);
  } catch (error) {
    write.close();
    throw error;
  }
}

function databaseOf(read: SqliteConnection, write: SqliteConnection, options: SqliteOptions): Database {
  const { file, clock, ids, log, isShared = false } = options;
  const checkpoints = new SqliteCheckpoints({ file, clock, log, onSyncFailed: (error) => writer.giveUp(error) });
  const commits = isShared ? commitsInside(write) : commitsBeside(write, read, walOf(file));
  const onSyncFailed = (error: SyncFailed) => {
    log?.error('the database cannot be written to disk', { error });
    options.onSyncFailed?.();
  };
  const writer = new SqliteWriter({ connection: write, commits, checkpoints, clock, ids, onSyncFailed });
  const close = async () => {
    await writer.finish();
    await checkpoints.close();
    commits.close();
    read.close();
    // The last connection of all processes to close moves the WAL into the database file and removes it.
    write.close();
  };
  let closing: Promise<void> | undefined;
  return {
    kind: 'sqlite',
    read: new Kysely<Schema>({ dialect: new SqliteDialect(read) }),
    transaction: (work, transactionOptions) => writer.transaction(work, transactionOptions),
    nowMicros: async () => clock.nowMicros(),
    use: () => ({ waiting: writer.waiting, pool: undefined }),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

function walOf(file: string): string {
  return `${file}-wal`;
}

/**
 * Gives the empty WAL its usual length, in zeros, which SQLite does not take for its own. A file that keeps its length and its
 * blocks is synced without the file system's journal, which would wait for what other uploads are writing.
 */
function reserveWal(write: SqliteConnection, walFile: string): void {
  try {
    // A worker of a killed server may still be ending: while we hold the lock, it cannot commit into what is overwritten.
    write.run('begin immediate');
    if (statSync(walFile).size === 0) fillWithZeros(walFile);
  } catch {
    // A full disk, say: commits are slower, that is all, until they fail by themselves.
  } finally {
    if (write.isTransaction) write.run('rollback');
  }
}

function fillWithZeros(walFile: string): void {
  const zeros = new Uint8Array(1024 * 1024);
  const wal = openSync(walFile, 'r+');
  try {
    for (let at = 0; at < reservedWalBytes; at += zeros.length) writeSync(wal, zeros, 0, zeros.length, at);
    fsyncSync(wal);
  } finally {
    closeSync(wal);
  }
}

function refuseOldSqlite(version: string): void {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major * 1_000_000 + minor * 1_000 + patch < 3_051_003)
    throw new Error(`this Node carries SQLite ${version}; 3.51.3 or newer is needed: install a newer Node 26`);
}
