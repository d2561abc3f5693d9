import { z } from 'zod';

const partSchema = z.object({
  code: z.string(),
  message: z.string(),
  /** The member or resource that it is about. */
  target: z.string().exactOptional(),
});

/** Body of every ARM answer that tells of a failure. Source: Azure resource provider contract, "Error response content". */
export const armErrorSchema = z.object({
  error: partSchema.extend({ details: z.array(partSchema).exactOptional() }),
});
export type ArmErrorBody = z.infer<typeof armErrorSchema>;
export type ArmErrorPart = z.infer<typeof partSchema>;
