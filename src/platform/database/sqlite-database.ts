import { closeSync, openSync } from 'node:fs';
import { Kysely } from 'kysely';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import type { Database } from './database.ts';
import { migrate } from './migrate.ts';
import type { Schema } from './schema.ts';
import { SqliteConnection } from './sqlite-connection.ts';
import { SqliteDialect } from './sqlite-dialect.ts';
import { SqliteWriter } from './sqlite-writer.ts';

export type SqliteOptions = {
  /** Made when it does not exist, readable by this user alone; two more files appear beside it (`-wal`, `-shm`). */
  readonly file: string;
  readonly clock: Clock;
  readonly ids: Ids;
};

const readerWaitMs = 5_000;
/** Another process may be migrating; at the start blocking harms nobody. */
const migrationWaitMs = 60_000;
const readerCacheKibibytes = 32 * 1024;
const writerCacheKibibytes = 16 * 1024;

/**
 * Opens the embedded database and brings its schema up to date. One connection reads, one writes (house plan, idea 1).
 * Its clock is the passed one: all processes of one file share a machine. Throws when the file was written by a newer program,
 * or SQLite has known faults (older than 3.51.3).
 */
export async function openSqlite({ file, clock, ids }: SqliteOptions): Promise<Database> {
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
    const read = new SqliteConnection({
      file,
      isReadOnly: true,
      busyTimeoutMs: readerWaitMs,
      cacheKibibytes: readerCacheKibibytes,
    });
    return databaseOf(read, write, new SqliteWriter(write, clock, ids), clock);
  } catch (error) {
    write.close();
    throw error;
  }
}

function databaseOf(read: SqliteConnection, write: SqliteConnection, writer: SqliteWriter, clock: Clock): Database {
  return {
    kind: 'sqlite',
    read: new Kysely<Schema>({ dialect: new SqliteDialect(read) }),
    transaction: (work, options) => writer.transaction(work, options),
    nowMicros: async () => clock.nowMicros(),
    close: async () => {
      await writer.finish();
      read.close();
      // The last connection of all processes to close moves the WAL into the database file and removes it.
      write.close();
    },
  };
}

function refuseOldSqlite(version: string): void {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major * 1_000_000 + minor * 1_000 + patch < 3_051_003)
    throw new Error(`this Node carries SQLite ${version}; 3.51.3 or newer is needed: install a newer Node 26`);
}
