import { z } from 'zod';

const word = z.string().max(256);

/** Longest text of details, in characters. */
export const maxQuarantineDetails = 4_096;

/** What a scanner says besides the state, as JSON in a text; other keys are refused. Source: ACR semantics, 11.4. */
export const quarantineDetailsSchema = z.strictObject({
  scanner: word.optional(),
  state: word.optional(),
  link: z.string().max(2_048).optional(),
  result: z
    .strictObject({
      version: z.union([word, z.number()]).optional(),
      summary: z
        .array(
          z.strictObject({
            severity: z.enum(['Critical', 'High', 'Medium', 'Low', 'None']),
            count: z.number().int().nonnegative(),
          }),
        )
        .max(5)
        .optional(),
      description: z.string().max(1_024).optional(),
    })
    .optional(),
});

/** Whether the text is JSON of that form. */
export function areQuarantineDetails(text: string): boolean {
  try {
    return quarantineDetailsSchema.safeParse(JSON.parse(text)).success;
  } catch {
    // The caller says what is expected.
    return false;
  }
}
