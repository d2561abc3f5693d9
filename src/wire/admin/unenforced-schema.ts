import { z } from 'zod';

/** Answer of `GET /admin/unenforced`: registries with settings that are kept and do nothing yet; the others are left out. */
export const unenforcedSchema = z.object({
  registries: z.array(
    z.object({
      name: z.string(),
      settings: z.array(
        z.object({
          setting: z.string(),
          /** What is so in spite of the setting. */
          until: z.string(),
        }),
      ),
    }),
  ),
});
export type UnenforcedView = z.infer<typeof unenforcedSchema>;
