import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { Env } from '../middleware/env.ts';

/** How a client names us: like AD FS, or as a tenant in version 2.0 or 1.0 of Microsoft Entra. */
export type AuthorityStyle = 'adfs' | 'v2' | 'v1';

/** Addresses of the login surface as one discovery document has them. */
export type Authority = {
  readonly style: AuthorityStyle;
  readonly issuer: string;
  readonly token: string;
  readonly authorize: string;
  readonly device: string;
  readonly keys: string;
};

/** A tenant in a path: a GUID, or a word for whichever there is. */
export const tenantPattern =
  ':tenant{[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|common|organizations}';
const words = ['common', 'organizations'];

/** Clients keep to the names of the document, so the addresses carry the tenant as it was asked for; the issuer has its id. */
export function authorityOf(origin: string, style: AuthorityStyle, tenant: string, tenantId: string): Authority {
  if (style === 'adfs') {
    const base = `${origin}/adfs`;
    const oauth = `${base}/oauth2`;
    return {
      style,
      issuer: base,
      token: `${oauth}/token`,
      authorize: `${oauth}/authorize`,
      device: `${oauth}/devicecode`,
      keys: `${base}/discovery/keys`,
    };
  }
  const base = `${origin}/${tenant}`;
  const version = style === 'v2' ? '/v2.0' : '';
  const oauth = `${base}/oauth2${version}`;
  return {
    style,
    issuer: `${origin}/${tenantId}${version}${style === 'v2' ? '' : '/'}`,
    token: `${oauth}/token`,
    authorize: `${oauth}/authorize`,
    device: `${oauth}/devicecode`,
    keys: `${base}/discovery${version}/keys`,
  };
}

/** The tenant of the path. Throws `tenantUnknown` for another one than ours. */
export function tenantOf(c: Context<Env>, tenantId: string): string {
  const tenant = (c.req.param('tenant') ?? '').toLowerCase();
  if (!words.includes(tenant) && tenant !== tenantId) throw new BerthError('tenantUnknown', tenant);
  return tenant;
}
