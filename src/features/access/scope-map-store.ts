import { z } from 'zod';
import type { Queries, Transaction } from '../../platform/database/database.ts';

const actionsSchema = z.array(z.string());

export async function writeScopeMap(
  tx: Transaction,
  map: { readonly uid: string; readonly registryUid: string; readonly name: string; readonly actions: string },
): Promise<void> {
  await tx
    .insertInto('scope_maps')
    .values({ uid: map.uid, registry_uid: map.registryUid, name_key: map.name.toLowerCase(), actions: map.actions })
    .onConflict((conflict) => conflict.column('uid').doUpdateSet({ actions: map.actions }))
    .execute();
}

export async function deleteScopeMap(tx: Transaction, uid: string): Promise<void> {
  await tx.deleteFrom('scope_maps').where('uid', '=', uid).execute();
}

/** Names of tokens that a map of a registry holds, some of them. */
export async function tokensOfScopeMap(
  queries: Queries,
  registryUid: string,
  name: string,
  limit: number,
): Promise<string[]> {
  const rows = await queries
    .selectFrom('repository_tokens as t')
    .innerJoin('principals as p', 'p.uid', 't.principal_uid')
    .where('t.registry_uid', '=', registryUid)
    .where('t.scope_map_key', '=', name.toLowerCase())
    .orderBy('p.login_key')
    .limit(limit)
    .select('p.display_name')
    .execute();
  return rows.map((row) => row.display_name);
}

/** The scope map of a repository token: its actions when people made it; with the epoch they were read at. */
export async function findTokenMap(
  queries: Queries,
  principalUid: string,
): Promise<
  { readonly name: string; readonly actions: readonly string[] | undefined; readonly epoch: number } | undefined
> {
  const row = await queries
    .selectFrom('repository_tokens as t')
    .innerJoin('principals as p', 'p.uid', 't.principal_uid')
    .innerJoin('tenants as n', 'n.uid', 'p.tenant_uid')
    .leftJoin('scope_maps as m', (on) =>
      on.onRef('m.registry_uid', '=', 't.registry_uid').onRef('m.name_key', '=', 't.scope_map_key'),
    )
    .where('t.principal_uid', '=', principalUid)
    .select(['t.scope_map_key as name', 'm.actions', 'n.access_epoch as epoch'])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const actions = row.actions === null ? undefined : actionsSchema.parse(JSON.parse(row.actions));
  return { name: row.name, actions, epoch: row.epoch };
}
