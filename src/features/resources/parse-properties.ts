import type { z } from 'zod';
import type { JsonObject } from '../../wire/arm/json.ts';
import { refuse } from './refuse.ts';

const maxDetails = 20;

/** Reads a part of a request, `where` in it. Throws `resourceInvalid` with every problem and its place. */
export function parseProperties<T>(schema: z.ZodType<T>, value: JsonObject, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const details = result.error.issues.slice(0, maxDetails).map(({ path, message }) => ({
    code: 'InvalidParameter',
    message,
    target: [where, ...path].filter((part) => part !== '').join('.'),
  }));
  const [first] = details;
  const target = first?.target ?? where;
  throw refuse('resourceInvalid', {
    message: `The value of '${target}' is not valid: ${first?.message ?? 'wrong form'}.`,
    target,
    details,
  });
}
