import { Hono } from 'hono';
import { grantTypes } from '../../wire/login/login-messages.ts';
import type { Env } from '../middleware/env.ts';
import { type Authority, type AuthorityStyle, authorityOf, tenantOf, tenantPattern } from './authority.ts';
import type { LoginParts } from './login-parts.ts';

/** Clients keep these documents for a day (wire contract, 1.5): they change with the program only. */
const cacheControl = 'public, max-age=3600';

/** Discovery documents in each style, and the keys that sign. Source: OpenID Connect Discovery, section 4; wire contract 1.4. */
export function discoveryRoutes({ tenantTokens }: Pick<LoginParts, 'tenantTokens'>): Hono<Env> {
  const { tenantId } = tenantTokens;
  const routes = new Hono<Env>();
  const serve = (path: string, style: AuthorityStyle) =>
    routes.get(path, (c) => {
      const tenant = style === 'adfs' ? tenantId : tenantOf(c, tenantId);
      const authority = authorityOf(c.var.call.origin, style, tenant, tenantId);
      return c.json(documentOf(authority), 200, { 'Cache-Control': cacheControl });
    });
  serve('/adfs/.well-known/openid-configuration', 'adfs');
  serve(`/${tenantPattern}/v2.0/.well-known/openid-configuration`, 'v2');
  serve(`/${tenantPattern}/.well-known/openid-configuration`, 'v1');

  for (const path of [
    '/adfs/discovery/keys',
    `/${tenantPattern}/discovery/v2.0/keys`,
    `/${tenantPattern}/discovery/keys`,
  ]) {
    routes.get(path, async (c) => {
      if (c.req.param('tenant') !== undefined) tenantOf(c, tenantId);
      return c.json(await tenantTokens.keySet(), 200, { 'Cache-Control': 'public, max-age=300' });
    });
  }

  // MSAL asks whether it may trust the host, where it asks us at all: yes, and here is the document.
  routes.get('/common/discovery/instance', (c) => {
    const { origin } = c.var.call;
    const { host } = new URL(origin);
    return c.json({
      tenant_discovery_endpoint: `${origin}/${tenantId}/v2.0/.well-known/openid-configuration`,
      'api-version': '1.1',
      metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
    });
  });
  return routes;
}

function documentOf(authority: Authority) {
  return {
    issuer: authority.issuer,
    authorization_endpoint: authority.authorize,
    token_endpoint: authority.token,
    device_authorization_endpoint: authority.device,
    jwks_uri: authority.keys,
    response_types_supported: ['code'],
    response_modes_supported: ['query', 'fragment'],
    grant_types_supported: grantTypes,
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['ES256'],
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic', 'private_key_jwt', 'none'],
    code_challenge_methods_supported: ['S256'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    claims_supported: [
      'sub',
      'iss',
      'aud',
      'exp',
      'iat',
      'nbf',
      'tid',
      'oid',
      'name',
      'upn',
      'preferred_username',
      'nonce',
    ],
  };
}
