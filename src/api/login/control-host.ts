import type { MiddlewareHandler } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { Env } from '../middleware/env.ts';
import { placeOf } from '../middleware/host-name.ts';

/** Sign-in and directory belong to the control plane: on the name of a registry there are none. Throws `routeUnknown`. */
export function onControlHost(domain: string): MiddlewareHandler<Env> {
  return async (c, next) => {
    const name = new URL(c.var.call.origin).hostname.replace(/^\[(.*)\]$/, '$1');
    if (name !== `login.${domain}` && placeOf(name, domain)?.kind === 'registry') throw new BerthError('routeUnknown');
    await next();
  };
}
