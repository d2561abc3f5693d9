import { Hono } from 'hono';
import { resourceAudiences } from '../../features/identity/tenant-resource.ts';
import type { Env } from '../middleware/env.ts';

export type MetadataParts = {
  readonly tenantTokens: { readonly tenantId: string };
  readonly domain: string;
  /** Behind host names; empty for 443. */
  readonly portSuffix: string;
};

/**
 * Where everything is, for clients that are told one address. Source: wire contract, 1.2: one object in the form of
 * 2015-01-01 or of the newer versions, and a list of such objects at a second address for ARM_CLOUD_METADATA_URL.
 */
export function metadataRoutes(parts: MetadataParts): Hono<Env> {
  const routes = new Hono<Env>();
  for (const path of ['/metadata/endpoints', '//metadata/endpoints']) {
    routes.get(path, (c) => {
      const { origin } = c.var.call;
      const isOld = (c.req.query('api-version') ?? '') < '2018';
      return c.json(isOld ? oldForm(origin) : newForm(parts, origin));
    });
  }
  routes.get('/metadata/clouds', (c) => c.json([newForm(parts, c.var.call.origin)]));
  return routes;
}

function oldForm(origin: string) {
  return {
    galleryEndpoint: origin,
    graphEndpoint: `${origin}/graph`,
    portalEndpoint: origin,
    authentication: { loginEndpoint: `${origin}/adfs`, audiences: audiencesOf(origin) },
  };
}

function newForm({ tenantTokens, domain, portSuffix }: MetadataParts, origin: string) {
  return {
    name: 'Berth',
    portal: origin,
    authentication: {
      loginEndpoint: `${origin}/adfs`,
      audiences: audiencesOf(origin),
      tenant: tenantTokens.tenantId,
      identityProvider: 'ADFS',
    },
    resourceManager: origin,
    microsoftGraphResourceId: `${origin}/graph`,
    graph: `${origin}/graph`,
    graphAudience: `${origin}/graph`,
    gallery: origin,
    suffixes: {
      acrLoginServer: `${domain}${portSuffix}`,
      storage: `${domain}${portSuffix}`,
      keyVaultDns: `vault.${domain}`,
    },
  };
}

/** The first is what clients name the resource manager by. */
function audiencesOf(origin: string): string[] {
  return [origin, resourceAudiences.resourceManager];
}
