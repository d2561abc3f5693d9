import { z } from 'zod';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';

// How far the templates of a registry have been applied to the repositories that were there, as a walk: written with each step,
// so that a process that is killed leaves the rest to another.

/** Of walks: then the registry's uid. */
const prefix = 'templates ';
const afterPrefix = 'templates!';

const positionSchema = z.object({ after: z.string() });

/** From the first repository on, whatever was under way. */
export async function beginApplying(tx: Transaction, registryUid: string, nowMicros: number): Promise<void> {
  const values = { position: JSON.stringify({ after: '' }), changed_at: nowMicros };
  await tx
    .insertInto('walks')
    .values({ name: prefix + registryUid, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}

/** Whether some repository may still lack the rules of the templates that hold. */
export async function isBeingApplied(tx: Transaction, registryUid: string): Promise<boolean> {
  const walk = tx
    .selectFrom('walks')
    .where('name', '=', prefix + registryUid)
    .select('name');
  return (await walk.executeTakeFirst()) !== undefined;
}

/** The last repository that is done; undefined when all are. Nobody else goes on before the commit. */
export async function lockedApplication(
  tx: Transaction,
  kind: Database['kind'],
  registryUid: string,
): Promise<string | undefined> {
  const walk = tx
    .selectFrom('walks')
    .where('name', '=', prefix + registryUid)
    .select('position');
  const row = await lockedForUpdate(kind, walk).executeTakeFirst();
  return row === undefined ? undefined : positionSchema.parse(JSON.parse(row.position)).after;
}

/** Undefined `after` for the end. */
export async function saveApplication(
  tx: Transaction,
  { registryUid, after, nowMicros }: { registryUid: string; after: string | undefined; nowMicros: number },
): Promise<void> {
  const name = prefix + registryUid;
  if (after === undefined) await tx.deleteFrom('walks').where('name', '=', name).execute();
  else
    await tx
      .updateTable('walks')
      .set({ position: JSON.stringify({ after }), changed_at: nowMicros })
      .where('name', '=', name)
      .execute();
}

/** Registries for which nobody has taken a step since then. */
export async function idleApplications(queries: Queries, sinceMicros: number): Promise<readonly string[]> {
  const rows = await queries
    .selectFrom('walks')
    .where('name', '>=', prefix)
    .where('name', '<', afterPrefix)
    .where('changed_at', '<=', sinceMicros)
    .orderBy('name')
    .select('name')
    .execute();
  return rows.map(({ name }) => name.slice(prefix.length));
}
