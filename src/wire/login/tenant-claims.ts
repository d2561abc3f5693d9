import { z } from 'zod';

/** Claims of an access token of the tenant. Names as Microsoft Entra's version 1.0 access tokens have them. */
export const tenantAccessClaims = z.object({
  /** One of `resourceAudiences`. */
  aud: z.string(),
  iss: z.string(),
  iat: z.int(),
  nbf: z.int(),
  exp: z.int(),
  /** GUID of the tenant. */
  tid: z.string(),
  /** GUID of the principal. */
  oid: z.string(),
  sub: z.string(),
  /** Application id of the client that asked. */
  appid: z.string(),
  /** How the client proved itself: 0 not at all, 1 a secret, 2 a certificate or an outside token. */
  appidacr: z.enum(['0', '1', '2']),
  idtyp: z.enum(['app', 'user']),
  ver: z.literal('1.0'),
  /** Unique among tokens. */
  uti: z.string(),
  name: z.string(),
  upn: z.string().exactOptional(),
  unique_name: z.string().exactOptional(),
  /** What the client may do in the user's name. */
  scp: z.string().exactOptional(),
  /** Ours: uid of the credential that was shown; the token ends with it. */
  credential: z.string(),
});
export type TenantAccessClaims = z.infer<typeof tenantAccessClaims>;

/** Claims of an id token. Source: OpenID Connect Core, section 2; `tid`, `oid`, `upn` as the Azure CLI reads them. */
export const tenantIdClaims = z.object({
  aud: z.string(),
  iss: z.string(),
  iat: z.int(),
  nbf: z.int(),
  exp: z.int(),
  tid: z.string(),
  oid: z.string(),
  sub: z.string(),
  ver: z.literal('2.0'),
  name: z.string(),
  upn: z.string(),
  preferred_username: z.string(),
  nonce: z.string().exactOptional(),
});
export type TenantIdClaims = z.infer<typeof tenantIdClaims>;
