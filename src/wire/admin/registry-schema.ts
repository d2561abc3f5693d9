import { z } from 'zod';

/** A registry as the admin API shows it. */
export const registrySchema = z.object({
  name: z.string(),
  /** Host, with a port unless it is 443. */
  loginServer: z.string(),
  sku: z.enum(['Basic', 'Standard', 'Premium']),
  adminUserEnabled: z.boolean(),
  anonymousPullEnabled: z.boolean(),
  throttlingEnabled: z.boolean(),
  /** Bytes; null where the limit of the SKU holds. */
  storageLimitBytes: z.int().nullable(),
});
export type RegistryView = z.infer<typeof registrySchema>;

/** Answer of `GET /admin/registries`. */
export const registryListSchema = z.object({ registries: z.array(registrySchema) });

/** Body of `POST /admin/registries`. */
export const registryCreateSchema = z.strictObject({
  name: z.string(),
  sku: registrySchema.shape.sku.default('Premium'),
});
export type RegistryCreate = z.input<typeof registryCreateSchema>;

/** Body of `PATCH /admin/registries/{name}`: what is left out stays. */
export const registryUpdateSchema = z.strictObject({
  adminUserEnabled: z.boolean().exactOptional(),
  anonymousPullEnabled: z.boolean().exactOptional(),
  throttlingEnabled: z.boolean().exactOptional(),
  storageLimitBytes: z.int().min(0).nullable().exactOptional(),
});
export type RegistryUpdate = z.infer<typeof registryUpdateSchema>;
