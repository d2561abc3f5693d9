import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe } from 'node:test';
import type { Clock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/database/database.ts';
import { openPostgres } from '../../src/platform/database/postgres-database.ts';
import { openSqlite } from '../../src/platform/database/sqlite-database.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds } from '../../src/platform/system-ids.ts';
import { databaseUrl, onPostgres, testPostgresUrl } from './postgres.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type DatabaseName = Database['kind'];

/** Where a test database is: file of SQLite, address of PostgreSQL. */
export type DatabasePlace = { readonly kind: DatabaseName; readonly location: string };

export type OpenOptions = {
  /** The system's clock when absent; SQLite tells its time by it. */
  readonly clock?: Clock;
  /** A database that is open already, opened once more as another process would; a fresh one when absent. */
  readonly again?: Database;
};

/** Opens a database that is closed after the suite. */
export type OpenDatabase = (options?: OpenOptions) => Promise<Database>;

/**
 * Defines the same suite for both kinds of database, each in its own `describe`. `open()` resolves to a fresh, migrated
 * database; all that were opened are closed and removed at the end of the suite.
 */
export function forEachDatabase(
  define: (name: DatabaseName, open: OpenDatabase, placeOf: (database: Database) => DatabasePlace) => void,
): void {
  for (const kind of ['sqlite', 'postgres'] as const) {
    describe(kind, () => {
      const databases = new TestDatabases(kind);
      define(
        kind,
        (options) => databases.open(options),
        (database) => databases.placeOf(database),
      );
      // Last, so that what the suite closes in its own `after` still finds them open.
      after(() => databases.close());
    });
  }
}

/** Opens a database at a place, as another process does. */
export function openAt({ kind, location }: DatabasePlace, clock: Clock = systemClock): Promise<Database> {
  return kind === 'sqlite'
    ? openSqlite({ file: location, clock, ids: systemIds })
    : openPostgres({ url: location, poolSize: 10, clock, ids: systemIds });
}

class TestDatabases {
  readonly #kind: DatabaseName;
  readonly #folder = temporaryFolder('databases');
  readonly #open = new Map<Database, DatabasePlace>();
  #made = 0;

  constructor(kind: DatabaseName) {
    this.#kind = kind;
  }

  async open({ clock, again }: OpenOptions = {}): Promise<Database> {
    const location = again === undefined ? await this.#make() : this.placeOf(again).location;
    const place = { kind: this.#kind, location };
    const database = await openAt(place, clock);
    this.#open.set(database, place);
    return database;
  }

  placeOf(database: Database): DatabasePlace {
    const place = this.#open.get(database);
    if (place === undefined) throw new Error('this database was not opened by this suite');
    return place;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((database) => database.close()));
    this.#folder.remove();
    const made = new Set([...this.#open.values()].map((place) => place.location));
    if (this.#kind === 'postgres') await dropDatabases([...made]);
  }

  async #make(): Promise<string> {
    if (this.#kind === 'postgres') return await postgresFromTemplate();
    this.#made += 1;
    const file = join(this.#folder.path, `${this.#made}.sqlite`);
    const template = join(this.#folder.path, 'template.sqlite');
    if (this.#made === 1) await (await openAt({ kind: 'sqlite', location: template })).close();
    copyFileSync(template, file);
    return file;
  }
}

const templateName = 'berth_template';
const templateLock = 20_301_117;

/** Copies the migrated database that the first test process to come here made. */
async function postgresFromTemplate(): Promise<string> {
  const url = await testPostgresUrl();
  return await onPostgres(url, async (client) => {
    await client.query('select pg_advisory_lock($1)', [templateLock]);
    const { rowCount } = await client.query('select from pg_database where datname = $1', [templateName]);
    if (rowCount === 0) await makeTemplate(url);
    const name = `berth_${systemIds.uid()}`;
    await client.query(`create database ${name} template ${templateName}`);
    return databaseUrl(url, name);
  });
}

async function makeTemplate(url: string): Promise<void> {
  const name = `${templateName}_in_making`;
  await onPostgres(url, async (client) => {
    await client.query(`drop database if exists ${name}`);
    await client.query(`create database ${name}`);
    await (await openAt({ kind: 'postgres', location: databaseUrl(url, name) })).close();
    await client.query(`alter database ${name} rename to ${templateName}`);
  });
}

/** At the same time, because the server flushes everything to disk for each drop that it does alone. */
async function dropDatabases(urls: readonly string[]): Promise<void> {
  const server = await testPostgresUrl();
  const names = urls.map((url) => /\/(berth_[a-z0-9]+)\?/.exec(url)?.[1]).filter((name) => name !== undefined);
  await Promise.all(
    names.map((name) => onPostgres(server, (client) => client.query(`drop database if exists ${name} with (force)`))),
  );
}
