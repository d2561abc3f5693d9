import { z } from 'zod';

/** `iss` of the tokens of every registry. Source: ACR semantics, "Token flow", claims. */
export const tokenIssuer = 'Azure Container Registry';

const common = z.object({
  jti: z.string(),
  /** The user name, for people; decisions use `principal`. */
  sub: z.string(),
  nbf: z.int(),
  exp: z.int(),
  iat: z.int(),
  iss: z.literal(tokenIssuer),
  /** The registry's login server. */
  aud: z.string(),
  version: z.literal('1.0'),
  roles: z.array(z.string()),
  /** Ours, like the following: uid of the registry. */
  registry: z.string(),
  /** Uid of the principal. */
  principal: z.string(),
  /** Uid of the secret that was shown; absent for anonymous tokens. */
  credential: z.string().optional(),
  /** Access epoch at which the token was granted. */
  epoch: z.int(),
  /** The token of a service of the installation, which network rules may let in; only those of runs say so. */
  trusted: z.literal(true).optional(),
});

const access = z.object({
  type: z.enum(['repository', 'registry']),
  name: z.string(),
  actions: z.array(z.string()),
});

/** Claims of the token that opens the data plane. */
export const accessTokenClaims = common.extend({
  grant_type: z.literal('access_token'),
  access: z.array(access),
});
export type AccessTokenClaims = z.infer<typeof accessTokenClaims>;

/** Claims of the token that only buys access tokens. */
export const refreshTokenClaims = common.extend({
  grant_type: z.literal('refresh_token'),
  /** GUID of the tenant. */
  tenant: z.string(),
  /** For people and clients that look; decisions never do. */
  permissions: z.object({ actions: z.array(z.string()), notActions: z.array(z.string()) }),
  /** All that may be done with it, of what the principal may do; absent for everything. */
  limits: z.array(access).optional(),
});
export type RefreshTokenClaims = z.infer<typeof refreshTokenClaims>;
