import { z } from 'zod';

const pattern = (kind: string) =>
  z
    .string()
    .min(1)
    .max(255)
    .regex(/^[a-zA-Z0-9._/*-]+$/, { error: `a ${kind} is expected, in which * stands for any text` });

const common = {
  name: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[\w .-]+$/, { error: 'letters, digits, spaces, dots, _ and - are expected' }),
  repositories: pattern('repository name').default('*'),
  tags: pattern('tag').default('*'),
};
const age = z.string().max(100);

/** What a rule keeps or deletes; a tag that one rule deletes and another keeps stays. Ages are as `--ago` of a purge: 30d, 36h. */
export const lifecycleRuleSchema = z.discriminatedUnion('action', [
  z.strictObject({ ...common, action: z.literal('keepMatching') }),
  /** The newest so many of the matching tags of each repository. */
  z.strictObject({ ...common, action: z.literal('keepLast'), count: z.int().min(1).max(100_000) }),
  z.strictObject({ ...common, action: z.literal('keepPulled'), within: age }),
  /**
   * `untagged` manifests are those of any repository that matches, whatever tags they had: a rule that names tags takes tags
   * alone, unless it says otherwise.
   */
  z
    .strictObject({
      ...common,
      action: z.literal('deleteOlder'),
      olderThan: age,
      what: z.enum(['all', 'tags', 'untagged']).optional(),
    })
    .transform(({ what, ...rule }) => ({ ...rule, what: what ?? (rule.tags === '*' ? 'all' : 'tags') })),
]);
export type LifecycleRuleBody = z.infer<typeof lifecycleRuleSchema>;

export const lifecycleRulesSchema = z
  .array(lifecycleRuleSchema)
  .max(100)
  .refine((rules) => new Set(rules.map(({ name }) => name)).size === rules.length, {
    error: 'each rule needs a name of its own',
  });

/** Body of `PUT /admin/registries/{name}/lifecycle`. */
export const lifecycleSetSchema = z.strictObject({
  rules: lifecycleRulesSchema,
  /** From one run to the next. */
  everyHours: z.int().min(1).max(8_760).default(24),
});
export type LifecycleSet = z.input<typeof lifecycleSetSchema>;

const runSchema = z.object({
  id: z.string(),
  askedAt: z.string(),
  /** Null while it waits or goes on. */
  endedAt: z.string().nullable(),
  tags: z.number(),
  manifests: z.number(),
  freedBytes: z.number(),
  /** What stopped it, or repositories that it left out. */
  problem: z.string().nullable(),
});
export type LifecycleRunView = z.infer<typeof runSchema>;

/** Answer of `GET` and `PUT /admin/registries/{name}/lifecycle`. */
export const lifecycleSchema = z.object({
  rules: z.array(lifecycleRuleSchema),
  everyHours: z.number(),
  /** Null without rules. */
  nextRunAt: z.string().nullable(),
  /** Newest first. */
  runs: z.array(runSchema),
});
export type LifecycleView = z.infer<typeof lifecycleSchema>;

/** Body of `POST /admin/registries/{name}/lifecycle/preview`: other rules than those that are set. */
export const lifecyclePreviewSchema = z.strictObject({ rules: lifecycleRulesSchema.optional() });
export type LifecyclePreview = z.input<typeof lifecyclePreviewSchema>;

export const lifecycleItemSchema = z.object({
  repository: z.string(),
  /** Null for a manifest. */
  tag: z.string().nullable(),
  digest: z.string(),
  /** The rule that decided; null for what a lock keeps. */
  rule: z.string().nullable(),
  reason: z.string(),
  outcome: z.enum(['deleted', 'wouldDelete', 'changed', 'skipped', 'kept']),
  /** Why it was skipped. */
  why: z.string().nullable(),
  freedBytes: z.number(),
});
export type LifecycleItemView = z.infer<typeof lifecycleItemSchema>;

/** A preview answers one of these per line; the last has the totals, or what stopped it. */
export const lifecycleLineSchema = z.union([
  lifecycleItemSchema,
  z.object({ tags: z.number(), manifests: z.number(), freedBytes: z.number() }),
  z.object({ error: z.string() }),
]);
export type LifecycleLine = z.infer<typeof lifecycleLineSchema>;

/** Answer of `POST /admin/registries/{name}/lifecycle/runs` and, with items after `?after=`, of `GET …/runs/{id}`. */
export const lifecycleRunSchema = z.object({
  run: runSchema,
  items: z.array(lifecycleItemSchema),
  /** What the next page begins after. */
  last: z.number(),
});
export type LifecycleRunPage = z.infer<typeof lifecycleRunSchema>;
