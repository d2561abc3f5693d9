import type { Context } from 'hono';
import { BerthError, errorCatalogue } from '../../core/errors.ts';
import { decide } from '../../features/access/decision.ts';
import { rightsOf } from '../../features/access/rights.ts';
import type { Principal } from '../../features/identity/principal.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Env } from '../middleware/env.ts';

export type ArmCallerParts = {
  /** Who a token of the tenant stands for. Throws `unauthorized`. */
  readonly tenantCaller: (authorization: string | undefined, resource: 'resourceManager') => Promise<Principal>;
  readonly accessLog: AccessLog;
};

/** Who calls the resource manager, and whether they may administer the installation. */
export type ArmCaller = { readonly principal: Principal; readonly mayAdminister: boolean };

/**
 * Finds out who calls. Who may not administer is refused and written down, but for the lists a sign-in begins with: there the
 * answer is what they have. Throws `unauthorized`, `denied`.
 */
export function createArmCaller({ tenantCaller, accessLog }: ArmCallerParts): (c: Context<Env>) => Promise<ArmCaller> {
  return async (c) => {
    const { registry, address, correlationId, userAgent } = c.var.call;
    const deny = (identity: string, status: number, reason: string) =>
      accessLog.record({
        kind: 'denial',
        registryUid: registry.uid,
        address,
        correlationId,
        identity,
        status,
        reason,
        ...(userAgent === undefined ? {} : { userAgent }),
      });
    const principal = await signedIn(c, tenantCaller, () => deny('unknown', 401, 'not a valid token of the tenant'));
    const circumstances = { address, surface: 'arm', correlationId, userAgent } as const;
    const decision = decide(rightsOf(principal, registry), 'administer', { kind: 'installation' }, circumstances);
    const mayAdminister = decision.kind === 'allowed';
    if (mayAdminister || isSignInList(c)) return { principal, mayAdminister };
    deny(principal.uid, 403, `administer: ${decision.kind === 'denied' ? decision.reason : ''}`);
    const action = `${c.req.method} ${c.req.path.slice(0, 300)}`;
    throw refuse('denied', {
      message: `The client '${principal.name}' does not have authorization to perform action '${action}'. Ask an owner.`,
    });
  };
}

/** `az login` asks for the tenants and subscriptions of whoever signs in, and fails when it is refused. */
function isSignInList(c: Context<Env>): boolean {
  return c.req.method === 'GET' && /^\/(tenants|subscriptions)\/?$/i.test(c.req.path);
}

async function signedIn(
  c: Context<Env>,
  tenantCaller: ArmCallerParts['tenantCaller'],
  deny: () => void,
): Promise<Principal> {
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
    deny();
    throw refuse('unauthorized', {
      message: 'The access token is invalid or has expired. Sign in again with az login.',
    });
  }
}
