import type { Registry } from '../registries/registry.ts';
import { type Condition, type Facts, holds, repositoryNameAttribute } from './condition.ts';
import { reachOf } from './condition-reach.ts';
import type { Grant, Place } from './decision.ts';
import { type ContentAction, contentActionsOf, operationsFor } from './role-content.ts';
import { permits } from './role-permission.ts';
import { isWithinScope } from './role-scope.ts';
import type { HeldRole } from './role-store.ts';

/** What roles give on the content of a registry: those assigned to it, to its group, subscription or the installation. */
export function roleGrants(roles: readonly HeldRole[], registry: Registry): readonly Grant[] {
  return roles
    .filter(({ scopeKey }) => isWithinScope(registry.resourceKey, scopeKey))
    .flatMap((held) => grantsOf(held, registry));
}

function grantsOf(held: HeldRole, registry: Registry): readonly Grant[] {
  const { role, assignmentId, condition } = held;
  const by = `role '${role.name}' by ${assignmentId}`;
  const actions = contentActionsOf(role.permissions, registry.permissionMode);
  if (actions.length === 0) return [];
  if (condition === undefined) return [{ by, actions, at: { kind: 'registry', registryUid: registry.uid } }];
  return actions.flatMap((action) =>
    givingOperations(held, registry, action).flatMap((operation) => {
      const at = placeOf(condition, operation, action, registry.uid);
      return at === undefined ? [] : [{ by: `${by}, within its condition`, actions: [action], at }];
    }),
  );
}

/** The operations by which the role gives an action: the condition may tell them apart. */
function givingOperations({ role }: HeldRole, registry: Registry, action: ContentAction): readonly string[] {
  const { kind, operations } = operationsFor(registry.permissionMode, action);
  return operations.filter((operation) => permits(role.permissions, kind, operation));
}

/** Where a condition lets the operation be; undefined for nowhere. Lists of repositories are about no one repository. */
function placeOf(
  condition: Condition,
  operation: string,
  action: ContentAction,
  registryUid: string,
): Place | undefined {
  const whole: Place = { kind: 'registry', registryUid };
  if (action === 'catalogList' || action === 'deletedCatalogList')
    return holds(condition, factsOf(operation, undefined)) ? whole : undefined;
  const { isAll, names, prefixes, isExact } = reachOf(condition, operation);
  if (isExact && isAll) return whole;
  if (isExact && names.length + prefixes.length === 0) return undefined;
  const matches = (repository: string) => holds(condition, factsOf(operation, repository));
  return {
    kind: 'repositories',
    registryUid,
    names,
    prefixes: isAll ? [''] : prefixes,
    ...(isExact ? {} : { matches }),
  };
}

function factsOf(operation: string, repository: string | undefined): Facts {
  return { operation, attributes: new Map(repository === undefined ? [] : [[repositoryNameAttribute, repository]]) };
}
