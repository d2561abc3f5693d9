import type { Principal } from '../identity/principal.ts';
import { type Facts, holds } from './condition.ts';
import { permits } from './role-permission.ts';
import { isWithinScope } from './role-scope.ts';
import type { HeldRole } from './role-store.ts';

export type OperationDecision =
  | { readonly kind: 'allowed'; readonly by: string }
  | { readonly kind: 'denied'; readonly reason: string };

/**
 * The one decision for the resource manager: operations such as `Microsoft.ContainerRegistry/registries/write` at the id of a
 * subscription, group or resource. Ids in any case. Holds for one request: rights that change later are not in it.
 */
export class OperationRights {
  readonly principal: Principal;
  readonly #roles: readonly HeldRole[];
  readonly #givers = new Map<string, readonly HeldRole[]>();

  constructor(principal: Principal, roles: readonly HeldRole[]) {
    this.principal = principal;
    this.#roles = roles;
  }

  /** `attributes` are what conditions may ask about, by their names in lower case. */
  decide(operation: string, scope: string, attributes: Facts['attributes'] = new Map()): OperationDecision {
    const { isOwner, name } = this.principal;
    if (isOwner) return { kind: 'allowed', by: 'owner of the installation' };
    const held = this.#giversAt(operation, scope).find(
      ({ condition }) => condition === undefined || holds(condition, { operation, attributes }),
    );
    if (held !== undefined) return { kind: 'allowed', by: `role '${held.role.name}' by ${held.assignmentId}` };
    return { kind: 'denied', reason: `nothing gives ${name} ${operation} at ${scope}` };
  }

  allows(operation: string, scope: string): boolean {
    return this.decide(operation, scope).kind === 'allowed';
  }

  /** Whether there are attributes with which the operation might be allowed. */
  mayAllow(operation: string, scope: string): boolean {
    return this.principal.isOwner || this.#giversAt(operation, scope).length > 0;
  }

  /** Whether there is any role at the scope, above it, or on something inside it. */
  touches(scope: string): boolean {
    const key = scope.toLowerCase();
    return (
      this.principal.isOwner ||
      this.#roles.some((each) => isWithinScope(key, each.scopeKey) || isWithinScope(each.scopeKey, key))
    );
  }

  #giversAt(operation: string, scope: string): readonly HeldRole[] {
    const key = scope.toLowerCase();
    return this.#giversOf(operation).filter((each) => isWithinScope(key, each.scopeKey));
  }

  /** Roles that give the operation somewhere: asked for each row of a list. */
  #giversOf(operation: string): readonly HeldRole[] {
    const known = this.#givers.get(operation);
    if (known !== undefined) return known;
    const givers = this.#roles.filter((each) => permits(each.role.permissions, 'action', operation));
    this.#givers.set(operation, givers);
    return givers;
  }
}
