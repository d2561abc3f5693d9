import { z } from 'zod';

const scope = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? [value] : value));

/**
 * Query of `GET /oauth2/token`; what else clients send (`account`, `client_id`, `offline_token`) changes nothing here.
 * Source: Docker registry token authentication specification; `scope` may repeat and hold several, parted by spaces.
 */
export const tokenQuery = z.object({
  service: z.string().optional(),
  scope: scope.default([]),
});

/** Form of `POST /oauth2/token`. Source: Docker registry OAuth2 specification, "Getting a token"; ACR semantics. */
export const tokenForm = z.discriminatedUnion('grant_type', [
  tokenQuery.extend({
    grant_type: z.literal('password'),
    username: z.string().default(''),
    password: z.string().default(''),
    /** `offline` asks for a refresh token as well. */
    access_type: z.string().optional(),
  }),
  tokenQuery.extend({
    grant_type: z.literal('refresh_token'),
    refresh_token: z.string(),
    access_type: z.string().optional(),
  }),
]);
export type TokenForm = z.infer<typeof tokenForm>;

/** Answer of both; every client accepts `access_token`, the only name ACR answers with. `expires_in` in seconds. */
export const tokenAnswer = z.object({
  access_token: z.string(),
  expires_in: z.int(),
  refresh_token: z.string().optional(),
});
export type TokenAnswer = z.infer<typeof tokenAnswer>;

const exchange = z.object({ service: z.string().optional(), tenant: z.string().max(200).optional() });

/**
 * Form of `POST /oauth2/exchange`: the tokens in it are the tenant's. With both, the access token counts.
 * Source: ACR semantics, "Token flow", step 2.
 */
export const exchangeForm = z.discriminatedUnion('grant_type', [
  exchange.extend({ grant_type: z.enum(['access_token', 'access_token_refresh_token']), access_token: z.string() }),
  exchange.extend({ grant_type: z.literal('refresh_token'), refresh_token: z.string() }),
]);
export type ExchangeForm = z.infer<typeof exchangeForm>;

/** Its answer: a refresh token of the registry. */
export const exchangeAnswer = z.object({ refresh_token: z.string() });
export type ExchangeAnswer = z.infer<typeof exchangeAnswer>;
