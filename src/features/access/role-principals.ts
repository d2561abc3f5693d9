import type { Queries } from '../../platform/database/database.ts';
import type { Principal } from '../identity/principal.ts';

/** As role assignments call what they are given to. Source: Microsoft.Authorization/roleAssignments, `principalType`. */
export type PrincipalType = 'User' | 'Group' | 'ServicePrincipal';

/** An enabled principal of the tenant by its uid. */
export async function findPrincipal(queries: Queries, tenantUid: string, uid: string): Promise<Principal | undefined> {
  const row = await queries
    .selectFrom('principals')
    .where('tenant_uid', '=', tenantUid)
    .where('uid', '=', uid)
    .where('is_enabled', '=', 1)
    .select(['uid', 'kind', 'display_name', 'is_owner', 'registry_uid'])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { kind, display_name: name, is_owner, registry_uid } = row;
  return { kind, uid, name, isOwner: is_owner === 1, registryUid: registry_uid ?? undefined };
}

/** What a role can be given to: people, groups, and service principals that are part of the directory. */
export async function findAssignee(
  queries: Queries,
  tenantUid: string,
  uid: string,
): Promise<PrincipalType | undefined> {
  const principal = await queries
    .selectFrom('principals as p')
    .leftJoin('applications as a', 'a.principal_uid', 'p.uid')
    .where('p.tenant_uid', '=', tenantUid)
    .where('p.uid', '=', uid)
    .where('p.registry_uid', 'is', null)
    .select(['p.kind', 'a.is_provisioned as isProvisioned'])
    .executeTakeFirst();
  switch (principal?.kind) {
    case 'user':
      return 'User';
    case 'managedIdentity':
      return 'ServicePrincipal';
    case 'servicePrincipal':
      return principal.isProvisioned === 0 ? undefined : 'ServicePrincipal';
  }
  const group = await queries
    .selectFrom('user_groups')
    .where('tenant_uid', '=', tenantUid)
    .where('uid', '=', uid)
    .select('uid')
    .executeTakeFirst();
  return group === undefined ? undefined : 'Group';
}
