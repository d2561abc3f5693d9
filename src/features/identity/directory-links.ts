import { BerthError } from '../../core/errors.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';

export type LinkKind = 'member' | 'owner';
export type Link = { readonly sourceUid: string; readonly kind: LinkKind; readonly targetUid: string };

const maxDepth = 32;

/** Who belongs to a group, or who owns an object; by uid. */
export async function listTargets(queries: Queries, sourceUid: string, kind: LinkKind): Promise<string[]> {
  const rows = await queries
    .selectFrom('directory_links')
    .where('source_uid', '=', sourceUid)
    .where('kind', '=', kind)
    .orderBy('target_uid')
    .select('target_uid')
    .execute();
  return rows.map((row) => row.target_uid);
}

/** What an object owns. */
export async function listOwned(queries: Queries, ownerUid: string): Promise<string[]> {
  const rows = await sourcesOf(queries, [ownerUid], 'owner');
  return rows.toSorted();
}

/**
 * Every group that an object belongs to, directly and through other groups, by uid. For the access decision and for
 * Graph's getMemberGroups; groups that contain each other end the search.
 */
export async function groupsOf(queries: Queries, memberUid: string): Promise<string[]> {
  const found = new Set<string>();
  let level: readonly string[] = [memberUid];
  for (let depth = 0; depth < maxDepth && level.length > 0; depth += 1) {
    const above = await sourcesOf(queries, level, 'member');
    level = above.filter((uid) => !found.has(uid));
    for (const uid of level) found.add(uid);
  }
  return [...found].toSorted();
}

/** Throws `directoryObjectExists`. */
export async function addLink(tx: Transaction, tenantUid: string, { sourceUid, kind, targetUid }: Link): Promise<void> {
  const inserted = await tx
    .insertInto('directory_links')
    .values({ tenant_uid: tenantUid, source_uid: sourceUid, kind, target_uid: targetUid })
    .onConflict((conflict) => conflict.columns(['source_uid', 'kind', 'target_uid']).doNothing())
    .returning('source_uid')
    .executeTakeFirst();
  if (inserted === undefined)
    throw new BerthError('directoryObjectExists', `One or more added object references already exist for '${kind}s'`);
}

/** Throws `directoryObjectUnknown`. */
export async function removeLink(tx: Transaction, { sourceUid, kind, targetUid }: Link): Promise<void> {
  const removed = await tx
    .deleteFrom('directory_links')
    .where('source_uid', '=', sourceUid)
    .where('kind', '=', kind)
    .where('target_uid', '=', targetUid)
    .returning('source_uid')
    .executeTakeFirst();
  if (removed === undefined) throw new BerthError('directoryObjectUnknown');
}

/** All of an object that goes away. */
export async function removeLinksOf(tx: Transaction, uid: string): Promise<void> {
  await tx
    .deleteFrom('directory_links')
    .where((eb) => eb.or([eb('source_uid', '=', uid), eb('target_uid', '=', uid)]))
    .execute();
}

async function sourcesOf(queries: Queries, targets: readonly string[], kind: LinkKind): Promise<string[]> {
  const rows = await queries
    .selectFrom('directory_links')
    .where('target_uid', 'in', targets)
    .where('kind', '=', kind)
    .select('source_uid')
    .distinct()
    .execute();
  return rows.map((row) => row.source_uid);
}
