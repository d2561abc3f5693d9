import { z } from 'zod';

/** What can be set of a lock. Source: Microsoft.Authorization/locks. */
export const lockPropertiesSchema = z.object({
  level: z.preprocess(
    (value) =>
      ['CanNotDelete', 'ReadOnly'].find((level) => level.toLowerCase() === String(value).toLowerCase()) ?? value,
    z.enum(['CanNotDelete', 'ReadOnly']),
  ),
  notes: z.string().max(512).nullish(),
});
