import { type Kysely, type Migration, Migrator, sql } from 'kysely';
import type { Database } from './database.ts';
import { registryMigration } from './migrations/001-registry.ts';
import { resourcesMigration } from './migrations/002-resources.ts';
import { directoryMigration } from './migrations/003-directory.ts';
import { deploymentsMigration } from './migrations/004-deployments.ts';
import { accessMigration } from './migrations/005-access.ts';
import { attributesMigration } from './migrations/006-attributes.ts';
import { webhooksMigration } from './migrations/007-webhooks.ts';
import { insightMigration } from './migrations/008-insight.ts';
import { retentionMigration } from './migrations/010-retention.ts';
import { softDeleteMigration } from './migrations/011-soft-delete.ts';
import { throttlingMigration } from './migrations/012-throttling.ts';
import { lifecycleMigration } from './migrations/013-lifecycle.ts';
import { monitoringMigration } from './migrations/014-monitoring.ts';
import { buildsMigration } from './migrations/016-builds.ts';
import { tasksMigration } from './migrations/017-tasks.ts';
import { upkeepIndexesMigration } from './migrations/018-adds-upkeep-indexes.ts';
import { quarantineStatesMigration } from './migrations/019-adds-quarantine-states.ts';
import { principalNamesMigration } from './migrations/021-adds-principal-names.ts';
import { failingSinceMigration } from './migrations/022-adds-failing-since.ts';
import type { Schema } from './schema.ts';

/**
 * Every migration, in order; a released one is never edited. The name says whether servers of the version before can go on beside
 * it: `018-adds-…` only adds tables, indexes and columns that may be left out; anything else is `018-changes-…`.
 * Source: docs/decisions/rolling-upgrade.md.
 */
export function migrations(kind: Database['kind']): Record<string, Migration> {
  return {
    '001-registry': registryMigration(kind),
    '002-resources': resourcesMigration(kind),
    '003-directory': directoryMigration(kind),
    '004-deployments': deploymentsMigration(kind),
    '005-access': accessMigration(kind),
    '006-attributes': attributesMigration(kind),
    '007-webhooks': webhooksMigration(kind),
    '008-insight': insightMigration(kind),
    '010-retention': retentionMigration(kind),
    '011-soft-delete': softDeleteMigration(kind),
    '012-throttling': throttlingMigration(kind),
    '013-lifecycle': lifecycleMigration(kind),
    '014-monitoring': monitoringMigration(kind),
    '016-builds': buildsMigration(kind),
    '017-tasks': tasksMigration(kind),
    '018-adds-upkeep-indexes': upkeepIndexesMigration(),
    '019-adds-quarantine-states': quarantineStatesMigration(kind),
    '021-adds-principal-names': principalNamesMigration(kind),
    '022-adds-failing-since': failingSinceMigration(kind),
  };
}

/**
 * Brings the schema up to date. One process at a time does it, in one transaction: killed anywhere, it starts again. A schema to
 * which newer programs only added is left as it is: servers of this version may be started beside theirs.
 * Throws when the database knows another migration that this program does not: a newer program changed it.
 */
export async function migrate(db: Kysely<Schema>, kind: Database['kind']): Promise<void> {
  const known = migrations(kind);
  if (await isAhead(db, Object.keys(known))) return;
  const migrator = new Migrator({ db, provider: { getMigrations: async () => patient(known, kind) } });
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return;
  // A newer program may have migrated between the look above and the lock.
  if (await isAhead(db, Object.keys(known))) return;
  throw error;
}

/** While one waits for a table in PostgreSQL, every other query of that table waits behind it: it soon gives way. */
function patient(known: Record<string, Migration>, kind: Database['kind']): Record<string, Migration> {
  if (kind === 'sqlite') return known;
  return Object.fromEntries(
    Object.entries(known).map(([name, { up }]) => [
      name,
      {
        up: async (db: Kysely<unknown>) => {
          await sql`set local lock_timeout = ${sql.lit(tableWaitMs)}`.execute(db);
          await up(db);
        },
      },
    ]),
  );
}

const tableWaitMs = 2_000;

/** Whether a migration, by its name, leaves everything as it was that a program without it relies on. */
export function isAddition(name: string): boolean {
  return /^\d{3}-adds-/.test(name);
}

/** Whether the database has all migrations of this program, and more that only add. Throws when it has others. */
async function isAhead(db: Kysely<Schema>, known: readonly string[]): Promise<boolean> {
  const executed = await executedMigrations(db);
  const newer = executed.filter((name) => !known.includes(name));
  const change = newer.find((name) => !isAddition(name));
  if (change !== undefined)
    throw new Error(
      `the database was written by a newer version of Berth (its schema has "${change}", this program ends at ` +
        `"${known.at(-1)}"): start that version, or restore a backup made before the upgrade`,
    );
  return newer.length > 0 && known.every((name) => executed.includes(name));
}

async function executedMigrations(db: Kysely<Schema>): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some((table) => table.name === 'kysely_migration')) return [];
  const rows = await db
    .withTables<{ kysely_migration: { name: string } }>()
    .selectFrom('kysely_migration')
    .select('name')
    .execute();
  return rows.map((row) => row.name);
}
