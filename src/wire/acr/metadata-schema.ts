import { z } from 'zod';
import { immutableTagRulesSchema } from '../arm/immutable-tags-schema.ts';
import { attributesSchema, quarantineStates } from './attributes-schema.ts';

// Answers under /acr/v1. Times are `2031-01-02T03:04:05.6780000Z`, sizes are bytes. Source: ACR semantics, 4.2.

const inRegistry = { registry: z.string(), imageName: z.string() };
/** When it was asked for last by GET or HEAD; ours, left out where nobody has. */
const pulls = { lastPullTime: z.string().optional() };
const times = { createdTime: z.string(), lastUpdateTime: z.string() };

export const repositorySchema = z.object({
  ...inRegistry,
  ...times,
  manifestCount: z.int(),
  tagCount: z.int(),
  changeableAttributes: attributesSchema,
  /** Ours, left out where the repository has none of its own. */
  immutableTags: immutableTagRulesSchema.optional(),
});
export type RepositoryView = z.infer<typeof repositorySchema>;

const tagSchema = z.object({
  name: z.string(),
  digest: z.string(),
  ...times,
  ...pulls,
  /** By Docker Content Trust, which this registry does not have. */
  signed: z.literal(false),
  changeableAttributes: attributesSchema,
});
export type TagView = z.infer<typeof tagSchema>;
export const tagAnswerSchema = z.object({ ...inRegistry, tag: tagSchema });
export const tagsAnswerSchema = z.object({ ...inRegistry, tags: z.array(tagSchema) });

const platform = { architecture: z.string().optional(), os: z.string().optional() };
const manifestSchema = z.object({
  digest: z.string(),
  imageSize: z.number(),
  ...times,
  ...pulls,
  ...platform,
  mediaType: z.string(),
  configMediaType: z.string().optional(),
  /** Left out for an untagged manifest. */
  tags: z.array(z.string()).optional(),
  /** Of an index. */
  references: z.array(z.object({ digest: z.string(), ...platform })).optional(),
  changeableAttributes: z.object({
    ...attributesSchema.shape,
    quarantineState: z.enum(quarantineStates),
    quarantineDetails: z.string().optional(),
  }),
});
export type ManifestView = z.infer<typeof manifestSchema>;
export const manifestAnswerSchema = z.object({ ...inRegistry, manifest: manifestSchema });
export const manifestsAnswerSchema = z.object({ ...inRegistry, manifests: z.array(manifestSchema) });

export const repositoryDeletedSchema = z.object({
  manifestsDeleted: z.array(z.string()),
  tagsDeleted: z.array(z.string()),
});
export type RepositoryDeleted = z.infer<typeof repositoryDeletedSchema>;
