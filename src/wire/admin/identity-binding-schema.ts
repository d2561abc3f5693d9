import { z } from 'zod';

/** Body of `POST /admin/identity-bindings`: an address or network, or nothing to have a secret made. */
export const identityBindSchema = z.strictObject({
  /** Client id, object id, resource id, or a name that no other identity has. */
  identity: z.string().min(1).max(1_000),
  address: z.string().max(100).exactOptional(),
});
export type IdentityBind = z.infer<typeof identityBindSchema>;

/** Whom tokens of a managed identity are given to. */
export const identityBindingSchema = z.object({
  id: z.string(),
  identity: z.object({ name: z.string(), clientId: z.string(), resourceId: z.string() }),
  /** In CIDR form; absent where a secret is asked for. */
  address: z.string().exactOptional(),
  /** First characters of the secret. */
  hint: z.string().exactOptional(),
  createdAt: z.string(),
  /** Only in the answer that made it. */
  secret: z.string().exactOptional(),
});
export type IdentityBindingView = z.infer<typeof identityBindingSchema>;

/** Answer of `GET /admin/identity-bindings`. */
export const identityBindingListSchema = z.object({ bindings: z.array(identityBindingSchema) });

/** Answer of `DELETE /admin/identity-bindings/{id}`. */
export const identityUnboundSchema = z.object({ id: z.string() });
