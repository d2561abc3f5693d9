import { z } from 'zod';

/** Answer of `GET /admin/access/explain?principal=&action=&scope=&address=`. */
export const accessExplanationSchema = z.object({
  principal: z.object({
    kind: z.string(),
    name: z.string(),
    /** Undefined for strangers. */
    objectId: z.string().exactOptional(),
  }),
  allowed: z.boolean(),
  /** What allows it. */
  by: z.string().exactOptional(),
  /** Why it is denied, and what would change that. */
  reason: z.string().exactOptional(),
  remedy: z.string().exactOptional(),
  considered: z.array(z.object({ by: z.string(), gives: z.array(z.string()), note: z.string().exactOptional() })),
});
export type AccessExplanationView = z.infer<typeof accessExplanationSchema>;

export type AccessQuestion = {
  readonly principal: string;
  readonly action: string;
  readonly scope: string;
  readonly address?: string;
};
