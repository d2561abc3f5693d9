import { z } from 'zod';
import { areQuarantineDetails, maxQuarantineDetails } from './quarantine-details-schema.ts';

const flag = z.boolean().nullish();

/** Body of PATCH on a repository, manifest or tag; what is left out stays. Source: ACR semantics, 4.3. */
export const attributeChangeSchema = z.object({
  deleteEnabled: flag,
  writeEnabled: flag,
  readEnabled: flag,
  listEnabled: flag,
});

export const quarantineStates = ['Passed', 'Failed', 'Quarantined'] as const;
export type QuarantineState = (typeof quarantineStates)[number];

/** The same of a manifest, with what a scanner says of it: details are JSON as text. Source: ACR semantics, "Quarantine". */
export const manifestChangeSchema = attributeChangeSchema.extend({
  quarantineState: z.enum(quarantineStates).nullish(),
  quarantineDetails: z.string().max(maxQuarantineDetails).refine(areQuarantineDetails).nullish(),
});

export const attributesSchema = z.object({
  deleteEnabled: z.boolean(),
  writeEnabled: z.boolean(),
  readEnabled: z.boolean(),
  listEnabled: z.boolean(),
});
