import { z } from 'zod';

export const tokenPasswordNames = ['password1', 'password2'] as const;
export type TokenPasswordName = (typeof tokenPasswordNames)[number];
const certificateNames = ['certificate1', 'certificate2'] as const;

const maxPemLength = 32 * 1024;

const certificateSchema = z.object({
  name: z.enum(certificateNames),
  /** Base64 of a certificate in PEM. */
  encodedPemCertificate: z.base64().max(maxPemLength).nullish(),
  thumbprint: z.string().max(200).nullish(),
  expiry: z.iso.datetime({ offset: true }).nullish(),
});
export type TokenCertificate = z.infer<typeof certificateSchema>;

/** What can be set of a repository token. Source: Microsoft.ContainerRegistry/registries/tokens. */
export const tokenPropertiesSchema = z.object({
  scopeMapId: z.string().min(1).max(1_000),
  status: z
    .preprocess((value) => (typeof value === 'string' ? value.toLowerCase() : value), z.enum(['enabled', 'disabled']))
    .default('enabled'),
  credentials: z
    .object({
      /** Those to keep, by name; all of them when absent. */
      passwords: z.array(z.object({ name: z.enum(tokenPasswordNames) })).nullish(),
      certificates: z.array(certificateSchema).max(certificateNames.length).nullish(),
    })
    .nullish(),
});

/** How a password is kept with its token: all but its value. Times in ISO 8601. */
export const keptPasswordSchema = z.object({
  name: z.enum(tokenPasswordNames),
  creationTime: z.string(),
  expiry: z.string().nullable(),
});
export type KeptPassword = z.infer<typeof keptPasswordSchema>;

/** `properties` of a token as it is stored. */
export const storedTokenSchema = z.object({
  scopeMapId: z.string(),
  status: z.enum(['enabled', 'disabled']),
  credentials: z.object({ passwords: z.array(keptPasswordSchema), certificates: z.array(certificateSchema) }),
});
export type StoredToken = z.infer<typeof storedTokenSchema>;

/** Body of `POST …/generateCredentials`; both passwords without a name. */
export const generateCredentialsSchema = z.object({
  tokenId: z.string().min(1).max(1_000),
  name: z.enum(tokenPasswordNames).nullish(),
  expiry: z.iso.datetime({ offset: true, local: true }).nullish(),
});
