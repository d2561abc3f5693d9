import { z } from 'zod';

/** Body of `POST /acr/v1/_release`: tags to move, all or none. Ours. */
export const releaseSchema = z.strictObject({
  moves: z
    .array(
      z.strictObject({
        repository: z.string(),
        tag: z.string(),
        /** Where the tag shall point; null to take it away. */
        digest: z.string().nullable(),
        /** Where it must point now, null for nowhere; without it, wherever it points. */
        expected: z.string().nullable().optional(),
      }),
    )
    .max(200),
});
export type Release = z.infer<typeof releaseSchema>;

/** Body of `POST /acr/v1/{name}/_rollback`. */
export const rollbackSchema = z.strictObject({
  /** RFC 3339. */
  asOf: z.string(),
  /** Without it every tag of the repository. */
  tag: z.string().optional(),
  dryRun: z.boolean().default(false),
});
export type Rollback = z.input<typeof rollbackSchema>;

/** What a release or a rollback moved, or would. */
export const movedTagsSchema = z.object({
  moves: z.array(
    z.object({
      repository: z.string(),
      tag: z.string(),
      digest: z.string().nullable(),
      previous: z.string().nullable(),
    }),
  ),
});
export type MovedTagsView = z.infer<typeof movedTagsSchema>;

/** `GET /acr/v1/{name}/_diff?from=…&to=…`: tags that pointed elsewhere; null where a tag was not there. */
export const tagDifferencesSchema = z.object({
  repository: z.string(),
  tags: z.array(z.object({ tag: z.string(), from: z.string().nullable(), to: z.string().nullable() })),
});
export type TagDifferencesView = z.infer<typeof tagDifferencesSchema>;
