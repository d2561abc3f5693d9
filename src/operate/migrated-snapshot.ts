import { chmod, copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../platform/clock.ts';
import { openSqlite } from '../platform/database/sqlite-database.ts';
import type { Ids } from '../platform/ids.ts';
import type { RowSink, RowSource } from './rows.ts';
import { openSqliteSource } from './sqlite-rows.ts';

export type MigrationParts = { readonly clock: Clock; readonly ids: Ids };

/**
 * Calls `use` on a snapshot as the program of `sink` would have made it: where an older one made it, on a copy whose schema was
 * brought up to date. The snapshot stays as it is. Throws when a newer program made it and did more than add to the schema.
 */
export async function withMigrated<T>(
  file: string,
  sink: Pick<RowSink, 'migrations'>,
  parts: MigrationParts,
  use: (rows: RowSource) => Promise<T>,
): Promise<T> {
  const rows = openSqliteSource(file);
  try {
    if (rows.migrations.join() === sink.migrations.join()) return await use(rows);
  } finally {
    await rows.close();
  }
  const folder = await mkdtemp(join(tmpdir(), 'berth-restore-'));
  try {
    const copy = join(folder, 'snapshot.sqlite');
    await copyFile(file, copy);
    await chmod(copy, 0o600);
    await (await openSqlite({ file: copy, ...parts })).close();
    const migrated = openSqliteSource(copy);
    try {
      return await use(migrated);
    } finally {
      await migrated.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
