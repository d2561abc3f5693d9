import { z } from 'zod';

/** Every answer that tells of a failure; the Azure CLI reads `message` and fails without it. Source: Microsoft Graph, "Error responses". */
export const graphErrorSchema = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    innerError: z.object({ date: z.string(), 'request-id': z.string(), 'client-request-id': z.string() }),
  }),
});
export type GraphErrorBody = z.infer<typeof graphErrorSchema>;

const name = z.string().trim().min(1).max(256);
const dateTime = z.string().refine((text) => Number.isFinite(Date.parse(text)), 'a date and time is needed');
const uris = z.array(z.string().max(2048)).max(256);
const platform = z.looseObject({ redirectUris: uris.exactOptional() });
const nullable = <T extends z.ZodType>(schema: T) => schema.nullish();

/** Source: Microsoft Graph, resource type keyCredential. */
export const keyCredentialSchema = z.looseObject({
  keyId: nullable(z.string()),
  key: nullable(z.string().max(65_536)),
  displayName: nullable(z.string().max(256)),
  startDateTime: nullable(dateTime),
  endDateTime: nullable(dateTime),
  type: nullable(z.enum(['AsymmetricX509Cert'])),
  usage: nullable(z.enum(['Verify'])),
});

/** Source: Microsoft Graph, resource type application; members we do not act on are kept and shown. */
export const applicationPatch = z.looseObject({
  displayName: name.exactOptional(),
  identifierUris: uris.exactOptional(),
  web: nullable(platform),
  spa: nullable(platform),
  publicClient: nullable(platform),
  keyCredentials: z.array(keyCredentialSchema).max(100).exactOptional(),
});
export const applicationBody = applicationPatch.extend({ displayName: name });

/** Source: Microsoft Graph, application: addPassword. */
export const addPasswordBody = z.object({
  passwordCredential: nullable(
    z.object({
      displayName: nullable(z.string().max(256)),
      startDateTime: nullable(dateTime),
      endDateTime: nullable(dateTime),
    }),
  ),
});
export const removePasswordBody = z.object({ keyId: z.string() });

export const federatedPatch = z.object({
  issuer: z
    .url({ protocol: /^https$/ })
    .max(600)
    .exactOptional(),
  subject: z.string().min(1).max(600).exactOptional(),
  audiences: z.array(z.string().min(1).max(600)).min(1).max(10).exactOptional(),
  description: nullable(z.string().max(600)),
});
/** Source: Microsoft Graph, resource type federatedIdentityCredential. */
export const federatedBody = federatedPatch.extend({
  name: z.string().regex(/^[\w-]{1,120}$/),
  issuer: z.url({ protocol: /^https$/ }).max(600),
  subject: z.string().min(1).max(600),
  audiences: z.array(z.string().min(1).max(600)).min(1).max(10),
});

export const servicePrincipalBody = z.looseObject({ appId: z.string(), accountEnabled: z.boolean().default(true) });
export const servicePrincipalPatch = z.looseObject({
  accountEnabled: z.boolean().exactOptional(),
  keyCredentials: z.array(keyCredentialSchema).max(100).exactOptional(),
});

const passwordProfile = z.object({
  password: z.string().exactOptional(),
  // Accepting it without asking for another password would be a promise that nobody keeps.
  forceChangePasswordNextSignIn: nullable(
    z.literal(false, 'changing the password at the next sign-in is not supported'),
  ),
});
export const userPatch = z.looseObject({
  displayName: name.exactOptional(),
  accountEnabled: z.boolean().exactOptional(),
  passwordProfile: passwordProfile.exactOptional(),
});
/** Source: Microsoft Graph, "Create user". */
export const userBody = userPatch.extend({
  displayName: name,
  userPrincipalName: z.string().max(320),
  passwordProfile: passwordProfile.extend({ password: z.string() }),
});

export const groupPatch = z.looseObject({ displayName: name.exactOptional() });
/** Source: Microsoft Graph, "Create group". */
export const groupBody = groupPatch.extend({
  displayName: name,
  mailNickname: z.string().max(64),
  mailEnabled: z.literal(false, 'groups have no mail here'),
  securityEnabled: z.literal(true, 'only security groups are supported'),
});

/** Source: Microsoft Graph, directoryObject: getByIds. */
export const getByIdsBody = z.object({ ids: z.array(z.string()).max(1000), types: z.array(z.string()).nullish() });
export const referenceBody = z.object({ '@odata.id': z.string().max(2048) });
export const memberGroupsBody = z.object({ securityEnabledOnly: z.boolean().nullish() });
export const checkMemberGroupsBody = z.object({ groupIds: z.array(z.string()).max(1000) });
