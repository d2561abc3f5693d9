import { z } from 'zod';
import { type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import { type Evaluator, templateInvalid } from './evaluator.ts';
import { type PreparedTemplate, preparedWith, prepareTemplate } from './prepared-template.ts';
import type { Hosted } from './resource-host.ts';
import { parseTemplate } from './template.ts';
import { shownValues } from './template-parameters.ts';
import { deploymentType, objectOf, type PlannedResource } from './template-plan.ts';
import { TemplateRun } from './template-run.ts';
import type { TemplateScope } from './template-scope.ts';

const nestedSchema = z.object({
  mode: z.string().regex(/^incremental$/i, { error: 'a nested deployment has the mode Incremental' }),
  expressionEvaluationOptions: z.object({ scope: z.string() }).exactOptional(),
  template: jsonObjectSchema,
  templateLink: z.never({ error: 'linked templates are not fetched; put the template itself here' }).exactOptional(),
  parameters: jsonObjectSchema.default({}),
});

/** How deep deployments stand in each other. */
const maxDepth = 5;

/**
 * Deploys a template inside another one. With the scope `inner` it has parameters and variables of its own, otherwise its
 * expressions are those of the template around it. Source: Azure Resource Manager, "Using linked and nested templates".
 */
export async function runNested(
  outer: TemplateRun,
  item: PlannedResource,
  evaluator: Evaluator,
  ids: string[],
): Promise<Hosted> {
  const where = `${item.where}.properties`;
  const properties = parseProperties(nestedSchema, objectOf(item.body.properties), where);
  const isInner = properties.expressionEvaluationOptions?.scope.toLowerCase() === 'inner';
  const scope = await nestedScope(outer, item);
  const template = parseTemplate(properties.template, `${where}.template`);
  const { budget, nowMicros, seed } = outer.parts;
  const given = objectOf(await evaluator.evaluate(properties.parameters, `${where}.parameters`));
  const prepared: PreparedTemplate = isInner
    ? await prepareTemplate({ template, given, scope, budget, nowMicros, seed })
    : await preparedWith({ template, parameters: new Map(), evaluator: item.evaluator, scope });
  const result = await new TemplateRun(outer.parts, scope, prepared, outer).run();
  ids.push(...result.ids);
  await outer.parts.nestedEnded({ scope, template: properties.template, prepared, result });
  if (result.errors.length > 0) throw failed(item, result.errors);
  return { view: viewOf(item, prepared, shownValues(template.outputs, result.outputs), result.outputs), isKnown: true };
}

function failed(
  { id, name }: PlannedResource,
  details: readonly { readonly code: string; readonly message: string }[],
) {
  return refuse('deploymentFailed', {
    message: `The nested deployment '${name}' failed: ${details.map(({ message }) => message).join(' ')}`,
    target: id,
    details: [...details],
  });
}

/** Outputs are whole here: the template around may use secure ones. */
function viewOf(
  { id, name }: PlannedResource,
  { template }: PreparedTemplate,
  shown: JsonObject,
  outputs: ReadonlyMap<string, JsonObject[string]>,
): JsonObject {
  const whole = Object.fromEntries([...outputs].map(([key, value]) => [key, { ...objectOf(shown[key]), value }]));
  const { contentVersion } = template;
  const properties = {
    mode: 'Incremental',
    provisioningState: 'Succeeded',
    outputs: whole,
    templateVersion: contentVersion,
  };
  return { id, name, type: deploymentType, properties };
}

async function nestedScope(outer: TemplateRun, item: PlannedResource): Promise<TemplateScope> {
  const [, , subscriptionId = '', , group = ''] = item.id.split('/');
  if (subscriptionId.toLowerCase() !== outer.scope.subscription.subscriptionId.toLowerCase())
    throw templateInvalid('a deployment stays in one subscription', item.where);
  if (outer.depth >= maxDepth) throw templateInvalid('deployments are nested too deeply', item.where);
  return { ...outer.scope, group: await outer.parts.host.group(subscriptionId, group), deploymentName: item.name };
}
