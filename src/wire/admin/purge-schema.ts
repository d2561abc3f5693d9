import { z } from 'zod';

/** Body of `POST /admin/registries/{name}/purge`: what `acr purge` takes as flags. */
export const purgeRequestSchema = z.strictObject({
  /** `repository expression:tag expression`. */
  filters: z.array(z.string().max(1_000)).max(100).default([]),
  /** `30d`, `2d3h6m`; may be left out with `untagged: 'only'`. */
  ago: z.string().max(100).optional(),
  keep: z.int().min(0).max(1_000_000).default(0),
  untagged: z.enum(['none', 'also', 'only']).default('none'),
  includeLocked: z.boolean().default(false),
  dryRun: z.boolean().default(false),
});
export type PurgeOptions = z.input<typeof purgeRequestSchema>;

/** The answer is one of these per line, as each item is done; the last line has the totals, or what stopped the purge. */
export const purgeLineSchema = z.union([
  z.object({
    repository: z.string(),
    /** Null for a manifest. */
    tag: z.string().nullable(),
    digest: z.string(),
    /** The rule that decided. */
    reason: z.string(),
    outcome: z.enum(['deleted', 'wouldDelete', 'changed', 'skipped', 'kept']),
    /** Why it was skipped. */
    why: z.string().nullable(),
    /** No longer in use then, with what refers to it. */
    freedBytes: z.number(),
  }),
  z.object({ tags: z.number(), manifests: z.number(), freedBytes: z.number() }),
  z.object({ error: z.string() }),
]);
export type PurgeLine = z.infer<typeof purgeLineSchema>;
