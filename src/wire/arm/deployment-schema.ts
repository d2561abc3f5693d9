import { z } from 'zod';
import { jsonObjectSchema } from './json.ts';

const modeSchema = z.preprocess(
  (value) => ['Incremental', 'Complete'].find((mode) => mode.toLowerCase() === String(value).toLowerCase()) ?? value,
  z.enum(['Incremental', 'Complete']),
);

/** Body of create, validate and what-if. Source: Azure Resource Manager, "Deployments". */
export const deploymentRequestSchema = z.object({
  properties: z.object({
    mode: modeSchema.default('Incremental'),
    template: jsonObjectSchema,
    templateLink: z
      .null({ error: 'linked templates are not fetched: send the template itself (az: --template-file)' })
      .exactOptional(),
    parameters: jsonObjectSchema.nullish(),
    parametersLink: z.null({ error: 'linked parameters are not fetched: send their values' }).exactOptional(),
    onErrorDeployment: z.null({ error: 'no other deployment is run after a failure' }).exactOptional(),
    whatIfSettings: z.object({ resultFormat: z.enum(['ResourceIdOnly', 'FullResourcePayloads']).nullish() }).nullish(),
  }),
});
export type DeploymentRequest = z.infer<typeof deploymentRequestSchema>['properties'];
