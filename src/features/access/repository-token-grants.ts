import type { Database } from '../../platform/database/database.ts';
import type { LoadGrants } from './rights-source.ts';
import { scopeMapGrants, systemActions } from './scope-map.ts';
import { findTokenMap } from './scope-map-store.ts';

/** What a repository token may do: its scope map says it all. A token that is gone, or whose map is, may do nothing. */
export function loadTokenGrants({ read }: Pick<Database, 'read'>): LoadGrants {
  return async (principal, registry) => {
    const map = await findTokenMap(read, principal.uid);
    if (map === undefined) return { grants: [], epoch: 0 };
    const actions = map.actions ?? systemActions(map.name) ?? [];
    return { grants: scopeMapGrants(map.name, registry.uid, actions), epoch: map.epoch };
  };
}
