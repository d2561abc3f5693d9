import type { Queries } from '../../platform/database/database.ts';
import { uidOfObjectId } from '../identity/object-id.ts';
import type { Principal } from '../identity/principal.ts';
import { loginKey } from '../identity/principal-store.ts';

export type ExplainedName = {
  readonly tenantUid: string;
  /** Where tokens and admin accounts are looked for. */
  readonly registryUid: string | undefined;
  /** Object id, application id or user name. */
  readonly text: string;
};

/** Whoever people call so, enabled or not; the registry's own go before those of the tenant. */
export async function findExplained(
  queries: Queries,
  { tenantUid, registryUid, text }: ExplainedName,
): Promise<{ readonly principal: Principal; readonly isEnabled: boolean } | undefined> {
  const uid = uidOfObjectId(text) ?? '';
  const row = await queries
    .selectFrom('principals')
    .where('tenant_uid', '=', tenantUid)
    .where((eb) => eb.or([eb('uid', '=', uid), eb('login_key', '=', loginKey(text))]))
    .where((eb) => eb.or([eb('registry_uid', 'is', null), eb('registry_uid', '=', registryUid ?? '')]))
    .orderBy((eb) => eb.case().when('registry_uid', 'is', null).then(1).else(0).end())
    .select(['uid', 'kind', 'display_name as name', 'is_owner', 'is_enabled', 'registry_uid'])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { uid: found, kind, name, is_owner, is_enabled, registry_uid } = row;
  const principal = { kind, uid: found, name, isOwner: is_owner === 1, registryUid: registry_uid ?? undefined };
  return { principal, isEnabled: is_enabled === 1 };
}

/** Whether somebody can sign in with a secret of this principal now. */
export async function hasGoodSecret(queries: Queries, principalUid: string, nowMicros: number): Promise<boolean> {
  const row = await queries
    .selectFrom('secrets')
    .where('principal_uid', '=', principalUid)
    .where('name', '!=', 'run')
    .where((eb) => eb.or([eb('starts_at', 'is', null), eb('starts_at', '<=', nowMicros)]))
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', nowMicros)]))
    .select('uid')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
