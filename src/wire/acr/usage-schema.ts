import { z } from 'zod';

// Ours: what uses the space of a registry. All figures but `manifests` are bytes.

export const registryUsageSchema = z.object({
  registry: z.string(),
  usedBytes: z.int(),
  /** Left out where there is no limit. */
  limitBytes: z.int().optional(),
});
export type RegistryUsageView = z.infer<typeof registryUsageSchema>;

export const contentUsageSchema = z.object({
  registry: z.string(),
  imageName: z.string(),
  /** The tag or digest that was asked for; left out for the whole repository. */
  reference: z.string().optional(),
  manifests: z.int(),
  referencedBytes: z.int(),
  /** These two are left out for callers who may not read the metadata of every repository. */
  sharedBytes: z.int().optional(),
  heldAloneBytes: z.int().optional(),
});
export type ContentUsageView = z.infer<typeof contentUsageSchema>;
