import type { Context } from 'hono';
import { BerthError, errorCatalogue } from '../../core/errors.ts';
import type { OperationRights } from '../../features/access/role-operations.ts';
import type { OperationRightsSource } from '../../features/access/role-operations-source.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import type { Principal } from '../../features/identity/principal.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Env } from '../middleware/env.ts';
import type { Requirement } from './role-requirement.ts';

export type ArmCallerParts = {
  /** Who a token of the tenant stands for. Throws `unauthorized`. */
  readonly tenantCaller: (authorization: string | undefined, resource: 'resourceManager') => Promise<Principal>;
  readonly accessLog: AccessLog;
};

/** Who calls the resource manager, and what they may do there. */
export type ArmCaller = {
  readonly rights: OperationRights;
  /** Throws `denied`, which is written down, naming the operation and the scope. */
  readonly require: (requirement: Requirement) => void;
};

/** Finds out who calls. Throws `unauthorized`. */
export function createArmCaller(
  { tenantCaller, accessLog }: ArmCallerParts,
  operationRights: OperationRightsSource,
): (c: Context<Env>) => Promise<ArmCaller> {
  return async (c) => {
    const deny: Deny = (identity, status, reason) => {
      const { registry, address, correlationId, userAgent } = c.var.call;
      const agent = userAgent === undefined ? {} : { userAgent };
      const common = { kind: 'denial', registryUid: registry.uid, address, correlationId, ...agent } as const;
      accessLog.record({ ...common, identity, status, reason });
    };
    const principal = await signedIn(c, tenantCaller, deny);
    const rights = await operationRights.of(principal);
    return { rights, require: (requirement) => requireRight(rights, requirement, deny) };
  };
}

type Deny = (identity: string, status: number, reason: string) => void;

/** Throws `denied`, after `deny` was told. */
export function requireRight(rights: OperationRights, requirement: Requirement, deny: Deny): void {
  if (requirement.kind === 'signedIn' || requirement.kind === 'list') return;
  const { scope } = requirement;
  if (requirement.kind === 'inside') {
    if (rights.touches(scope)) return;
    deny(rights.principal.uid, 403, `no role in ${scope}`);
    throw denied(rights.principal, 'Microsoft.Resources/subscriptions/read', scope);
  }
  const { operation, attributes } = requirement;
  if (requirement.isDecidedLater === true && rights.mayAllow(operation, scope)) return;
  const decision = rights.decide(operation, scope, attributes);
  if (decision.kind === 'allowed') return;
  deny(rights.principal.uid, 403, decision.reason);
  throw denied(rights.principal, operation, scope);
}

/** As Azure says it: scripts look for its words. */
export function denied({ name, uid }: Principal, operation: string, scope: string): BerthError {
  return refuse('denied', {
    message:
      `The client '${name}' with object id '${shownId(uid)}' does not have authorization to perform action '${operation}' ` +
      `over scope '${scope}' or the scope is invalid. Ask an owner for a role that gives this action at this scope.`,
  });
}

/** Principals of tests and of the installation itself have no object id. */
function shownId(uid: string): string {
  try {
    return objectIdOf(uid);
  } catch (error) {
    if (error instanceof RangeError) return uid;
    throw error;
  }
}

async function signedIn(c: Context<Env>, tenantCaller: ArmCallerParts['tenantCaller'], deny: Deny): Promise<Principal> {
  const authorization = c.req.header('authorization');
  if (authorization === undefined) {
    throw refuse('unauthorized', {
      message: "Authentication failed. The 'Authorization' header is missing.",
    });
  }
  try {
    return await tenantCaller(authorization, 'resourceManager');
  } catch (error) {
    if (!(error instanceof BerthError) || errorCatalogue[error.error].status !== 401) throw error;
    deny('unknown', 401, 'not a valid token of the tenant');
    throw refuse('unauthorized', {
      message: 'The access token is invalid or has expired. Sign in again with az login.',
    });
  }
}
