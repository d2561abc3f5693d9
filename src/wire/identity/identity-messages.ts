import { z } from 'zod';

const name = z.string().max(1_000).exactOptional();

/** What a token of a managed identity is asked for by, in the query or a form. Source: Azure Instance Metadata Service; App Service, "REST endpoint reference". */
export const identityTokenQuery = z.object({
  resource: z.string().min(1).max(2_048),
  'api-version': z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}$/)
    .exactOptional(),
  client_id: name,
  /** Name of the same in the version of 2017 of App Service. */
  clientid: name,
  object_id: name,
  principal_id: name,
  msi_res_id: name,
  mi_res_id: name,
});
export type IdentityTokenQuery = z.infer<typeof identityTokenQuery>;

/** The numbers are texts: clients of each form read them as such. */
export const identityTokenAnswer = z.object({
  access_token: z.string(),
  client_id: z.string(),
  expires_in: z.string(),
  ext_expires_in: z.string(),
  /** Seconds since 1970, as `not_before`. */
  expires_on: z.string(),
  not_before: z.string(),
  resource: z.string(),
  token_type: z.literal('Bearer'),
});
export type IdentityTokenAnswer = z.infer<typeof identityTokenAnswer>;

/** The first two as the Instance Metadata Service has them, the others as App Service: clients read one pair or the other. */
export const identityErrorSchema = z.object({
  error: z.string(),
  error_description: z.string(),
  statusCode: z.int(),
  message: z.string(),
});
export type IdentityErrorBody = z.infer<typeof identityErrorSchema>;
