import { z } from 'zod';

/** What a key signs: tokens of the tenant (the control plane), or of registries. */
export const keyPurposeSchema = z.enum(['tenantToken', 'registryToken']);

/** Body of `POST /admin/keys`. */
export const keyRotateSchema = z.strictObject({ purpose: keyPurposeSchema });
export type KeyRotate = z.infer<typeof keyRotateSchema>;

/** A key that verifies tokens now. */
export const signingKeySchema = z.object({
  /** The `kid` in the header of its tokens. */
  id: z.string(),
  purpose: keyPurposeSchema,
  /** Whether it signs now. */
  signs: z.boolean(),
  createdAt: z.string(),
  /** It signs no longer than until then. */
  retiresAt: z.string(),
  /** It verifies no longer than until then. */
  expiresAt: z.string(),
});
export type SigningKeyView = z.infer<typeof signingKeySchema>;

/** Answer of `GET /admin/keys`. */
export const signingKeyListSchema = z.object({ keys: z.array(signingKeySchema) });

/** Answer of `POST /admin/keys` and `DELETE /admin/keys/{id}`. */
export const signingKeyIdSchema = z.object({ id: z.string(), purpose: keyPurposeSchema });
export type SigningKeyId = z.infer<typeof signingKeyIdSchema>;
