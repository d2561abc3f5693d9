import type { Database } from '../../platform/database/database.ts';
import type { Principal } from '../identity/principal.ts';
import { OperationRights } from './role-operations.ts';
import { findPrincipal } from './role-principals.ts';
import { loadHeldRoles } from './role-store.ts';

/** What somebody may do through the resource manager now. */
export type OperationRightsSource = {
  /** Costs one query, none for owners. */
  readonly of: (principal: Principal) => Promise<OperationRights>;
  /** For work that goes on after its request; undefined when the principal is gone or disabled. */
  readonly ofUid: (uid: string) => Promise<OperationRights | undefined>;
};

export function createOperationRights(database: Database, tenantUid: string): OperationRightsSource {
  const of = async (principal: Principal) => {
    const { roles } = principal.isOwner ? { roles: [] } : await loadHeldRoles(database.read, tenantUid, principal.uid);
    return new OperationRights(principal, roles);
  };
  return {
    of,
    ofUid: async (uid) => {
      const principal = await findPrincipal(database.read, tenantUid, uid);
      return principal && (await of(principal));
    },
  };
}
