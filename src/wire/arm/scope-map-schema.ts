import { z } from 'zod';

/** Ours: a map may name this many actions. */
const maxActions = 2_500;

/** What can be set of a scope map. Source: Microsoft.ContainerRegistry/registries/scopeMaps. */
export const scopeMapPropertiesSchema = z.object({
  description: z.string().max(256).nullish(),
  actions: z.array(z.string().max(400)).min(1).max(maxActions),
});
