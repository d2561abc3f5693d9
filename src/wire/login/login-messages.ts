import { z } from 'zod';

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const client = {
  client_id: z.string().exactOptional(),
  client_secret: z.string().exactOptional(),
  client_assertion_type: z.literal(assertionType).exactOptional(),
  client_assertion: z.string().exactOptional(),
  /** Version 2.0 of the endpoint; `resource` is its counterpart in version 1.0. */
  scope: z.string().max(4096).default(''),
  resource: z.string().max(2048).exactOptional(),
  /** MSAL wants to know whose token it is: `1`. */
  client_info: z.string().exactOptional(),
};

export const deviceCodeGrant = 'urn:ietf:params:oauth:grant-type:device_code';
export const grantTypes = [
  'client_credentials',
  'password',
  'refresh_token',
  'authorization_code',
  deviceCodeGrant,
] as const;

/** Form of the token endpoint. Source: RFC 6749 sections 4 to 6, RFC 7523, RFC 7636, RFC 8628; wire contract 1.6. */
export const loginTokenForm = z.discriminatedUnion('grant_type', [
  z.object({ ...client, grant_type: z.literal('client_credentials') }),
  z.object({ ...client, grant_type: z.literal('password'), username: z.string(), password: z.string() }),
  z.object({ ...client, grant_type: z.literal('refresh_token'), refresh_token: z.string() }),
  z.object({
    ...client,
    grant_type: z.literal('authorization_code'),
    code: z.string(),
    redirect_uri: z.string(),
    code_verifier: z.string().exactOptional(),
  }),
  z.object({ ...client, grant_type: z.literal(deviceCodeGrant), device_code: z.string() }),
  // Version 1.0 of the endpoint.
  z.object({ ...client, grant_type: z.literal('device_code'), code: z.string() }),
]);
export type LoginTokenForm = z.infer<typeof loginTokenForm>;

/** Answer of the token endpoint. Version 1.0 has the numbers as texts, `expires_on`, `not_before` and `resource`. */
export const loginTokenAnswer = z.object({
  token_type: z.literal('Bearer'),
  scope: z.string(),
  expires_in: z.union([z.int(), z.string()]),
  ext_expires_in: z.union([z.int(), z.string()]),
  expires_on: z.string().exactOptional(),
  not_before: z.string().exactOptional(),
  resource: z.string().exactOptional(),
  access_token: z.string(),
  refresh_token: z.string().exactOptional(),
  id_token: z.string().exactOptional(),
  /** Base64url JSON of `uid` and `utid`: object id and tenant id. */
  client_info: z.string().exactOptional(),
});
export type LoginTokenAnswer = z.infer<typeof loginTokenAnswer>;

/** Form of the device endpoint. */
export const deviceForm = z.object({
  client_id: z.string(),
  scope: z.string().max(4096).default(''),
  resource: z.string().max(2048).exactOptional(),
});

/** Source: RFC 8628, section 3.2; `message` is what the Azure CLI prints. */
export const deviceAnswer = z.object({
  device_code: z.string(),
  user_code: z.string(),
  verification_uri: z.string(),
  /** Name of the same in version 1.0. */
  verification_url: z.string(),
  expires_in: z.int(),
  interval: z.int(),
  message: z.string(),
});
export type DeviceAnswer = z.infer<typeof deviceAnswer>;

/** Query of the authorization endpoint. Source: RFC 6749 section 4.1.1, RFC 7636 section 4.3; OpenID Connect Core 3.1.2.1. */
export const authorizeQuery = z.object({
  client_id: z.string().max(100),
  response_type: z.literal('code'),
  redirect_uri: z.string().max(2048),
  scope: z.string().max(4096).default(''),
  state: z.string().max(4096).exactOptional(),
  nonce: z.string().max(1024).exactOptional(),
  response_mode: z.enum(['query', 'fragment']).default('query'),
  code_challenge: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .exactOptional(),
  code_challenge_method: z.literal('S256').exactOptional(),
  login_hint: z.string().max(1024).exactOptional(),
  prompt: z.string().exactOptional(),
});
export type AuthorizeQuery = z.infer<typeof authorizeQuery>;

/** Body of every login answer that tells of a failure. Source: RFC 6749, section 5.2; `error_codes` as Microsoft Entra has them. */
export const loginErrorSchema = z.object({
  error: z.string(),
  error_description: z.string(),
  error_codes: z.array(z.int()),
  timestamp: z.string(),
  trace_id: z.string(),
  correlation_id: z.string(),
});
export type LoginErrorBody = z.infer<typeof loginErrorSchema>;
