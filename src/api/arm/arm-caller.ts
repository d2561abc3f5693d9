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

/** Who calls the resource manager, if they may administer the installation; everyone else is refused and written down. */
export function createArmCaller({ tenantCaller, accessLog }: ArmCallerParts): (c: Context<Env>) => Promise<Principal> {
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
    if (decision.kind === 'allowed') return principal;
    deny(principal.uid, 403, `administer: ${decision.reason}`);
    const action = `${c.req.method} ${c.req.path.slice(0, 300)}`;
    throw refuse('denied', {
      message: `The client '${principal.name}' does not have authorization to perform action '${action}'. Ask an owner.`,
    });
  };
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
