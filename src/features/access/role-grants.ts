import type { Registry } from '../registries/registry.ts';
import type { Grant } from './decision.ts';
import { contentActionsOf } from './role-content.ts';
import { isWithinScope } from './role-scope.ts';
import type { HeldRole } from './role-store.ts';

/** What roles give on the content of a registry: those assigned to it, to its group, subscription or the installation. */
export function roleGrants(roles: readonly HeldRole[], registry: Registry): readonly Grant[] {
  return roles
    .filter(({ scopeKey }) => isWithinScope(registry.resourceKey, scopeKey))
    .flatMap((held) => grantsOf(held, registry));
}

function grantsOf({ role, assignmentId, condition }: HeldRole, registry: Registry): readonly Grant[] {
  const actions = contentActionsOf(role.permissions, registry.permissionMode);
  if (actions.length === 0 || condition !== undefined) return [];
  return [
    { by: `role '${role.name}' by ${assignmentId}`, actions, at: { kind: 'registry', registryUid: registry.uid } },
  ];
}
