import { z } from 'zod';

const flag = z.boolean().nullish();

/** Body of PATCH on a repository, manifest or tag; what is left out stays. Source: ACR semantics, 4.3. */
export const attributeChangeSchema = z.object({
  deleteEnabled: flag,
  writeEnabled: flag,
  readEnabled: flag,
  listEnabled: flag,
});

export const attributesSchema = z.object({
  deleteEnabled: z.boolean(),
  writeEnabled: z.boolean(),
  readEnabled: z.boolean(),
  listEnabled: z.boolean(),
});
