import { z } from 'zod';

const pattern = (kind: string) =>
  z
    .string()
    .min(1)
    .max(255)
    .regex(/^[a-zA-Z0-9._/*-]+$/, { error: `a ${kind} is expected, in which * stands for any text` });

/** Ours: tags that are written once. `*` in a pattern stands for any text. */
export const immutableTagRuleSchema = z.object({
  repositories: pattern('repository name').default('*'),
  tags: pattern('tag').default('*'),
  /** Tags that the rule leaves alone. */
  except: z.array(pattern('tag')).max(100).default([]),
  /** Whether such a tag may be deleted, after which its name is free again. */
  deletes: z.enum(['refused', 'allowed']).default('refused'),
});
export type ImmutableTagRule = z.infer<typeof immutableTagRuleSchema>;

export const immutableTagRulesSchema = z.array(immutableTagRuleSchema).max(100);
