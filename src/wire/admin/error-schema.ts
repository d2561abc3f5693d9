import { z } from 'zod';

/** Body of every answer of the admin API that tells of a failure: the form ARM uses. */
export const adminErrorSchema = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    /** What would help. */
    remedy: z.string(),
    detail: z.unknown().optional(),
  }),
});
export type AdminErrorBody = z.infer<typeof adminErrorSchema>;
