import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { type AskedScopes, parseResource, parseScopes } from '../../features/identity/tenant-resource.ts';
import type { Env } from '../middleware/env.ts';
import { placeOf } from '../middleware/host-name.ts';

/** What a scope asks for. Throws `audienceUnknown`, and `loginRequestInvalid` when there is none. */
export function whatFor(c: Context<Env>, domain: string, scope: string): AskedScopes {
  if (scope.trim() === '') throw new BerthError('loginRequestInvalid', 'scope');
  const asked = parseScopes(scope, ourNames(c, domain));
  if (asked === undefined) throw new BerthError('audienceUnknown', scope.slice(0, 500));
  return asked;
}

/** The same for `resource`, its counterpart in version 1.0. Throws `audienceUnknown`. */
export function whatForResource(c: Context<Env>, domain: string, name: string): AskedScopes {
  const resource = parseResource(name, ourNames(c, domain));
  if (resource === undefined) throw new BerthError('audienceUnknown', name.slice(0, 500));
  return { resource, wantsIdToken: true };
}

/** Host names of the control plane: the one the client used, and those we know it by. */
function ourNames(c: Context<Env>, domain: string): (name: string) => boolean {
  const here = new URL(c.var.call.origin).hostname;
  return (name) => {
    const kind = placeOf(name, domain)?.kind;
    return [here, domain, `login.${domain}`].includes(name) || kind === 'local' || kind === 'control';
  };
}
