import { z } from 'zod';

export const passwordNames = ['password', 'password2'] as const;
export const passwordNameSchema = z.enum(passwordNames);
export type PasswordName = z.infer<typeof passwordNameSchema>;

/** Answer of `GET /admin/registries/{name}/credential`: the registry's admin account. */
export const credentialSchema = z.object({
  username: z.string(),
  passwords: z.array(z.object({ name: passwordNameSchema, value: z.string() })),
});
export type CredentialView = z.infer<typeof credentialSchema>;

/** Body of `POST /admin/registries/{name}/credential/renew`. */
export const credentialRenewSchema = z.strictObject({ name: passwordNameSchema });
