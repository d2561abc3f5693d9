import { z } from 'zod';
import { immutableTagRuleSchema } from '../arm/immutable-tags-schema.ts';

/** What repositories whose names begin with `prefix` have from their first push on; of several templates the longest prefix. */
export const repositoryTemplateSchema = z.strictObject({
  /** Empty for every repository. */
  prefix: z
    .string()
    .max(255)
    .regex(/^[a-z0-9._/-]*$/, { error: 'the beginning of a repository name is expected' }),
  /** Those that are left out are on. Without `writeEnabled`: nothing could ever be pushed. */
  attributes: z
    .strictObject({
      deleteEnabled: z.boolean().optional(),
      readEnabled: z.boolean().optional(),
      listEnabled: z.boolean().optional(),
    })
    .default({}),
  /** Tags of the repository that are written once. */
  immutableTags: z
    .array(immutableTagRuleSchema.omit({ repositories: true }))
    .max(100)
    .default([]),
});
export type RepositoryTemplateBody = z.infer<typeof repositoryTemplateSchema>;

const templates = z
  .array(repositoryTemplateSchema)
  .max(100)
  .refine((all) => new Set(all.map(({ prefix }) => prefix)).size === all.length, {
    error: 'each template needs a prefix of its own',
  });

/** Answer of `GET` and `PUT /admin/registries/{name}/repository-templates`. */
export const repositoryTemplatesSchema = z.strictObject({ templates });
export type RepositoryTemplatesView = z.infer<typeof repositoryTemplatesSchema>;

/** Body of `PUT /admin/registries/{name}/repository-templates`. */
export const repositoryTemplatesSetSchema = z.strictObject({
  templates,
  /** Repositories that exist take over the rules for tags that are written once; their attributes stay. */
  appliesToExisting: z.boolean().default(false),
});
export type RepositoryTemplatesSet = z.input<typeof repositoryTemplatesSetSchema>;
