import { z } from 'zod';
import { jsonObjectSchema } from './json.ts';

/** At most 50 tags, names to 512 and values to 256 characters. Source: Azure Resource Manager, tag limits. */
export const tagsSchema = z
  .record(z.string().min(1).max(512), z.string().max(256))
  .refine((tags) => Object.keys(tags).length <= 50, 'a resource has at most 50 tags');

/** What a request may say of any resource; members that a type does not know are ignored. */
export const resourceRequestSchema = z.object({
  location: z.string().max(100).nullish(),
  tags: tagsSchema.nullish(),
  sku: jsonObjectSchema.nullish(),
  identity: jsonObjectSchema.nullish(),
  properties: jsonObjectSchema.nullish(),
});
export type ResourceRequest = z.infer<typeof resourceRequestSchema>;
