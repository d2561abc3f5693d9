import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { isJsonList } from './arguments.ts';
import { type Budget, Evaluator, type PlaceFunction, type PlaceFunctions, templateInvalid } from './evaluator.ts';
import { ExpressionError } from './expression-error.ts';
import { memberOf } from './list-functions.ts';
import type { Template } from './template.ts';
import { resolveParameters } from './template-parameters.ts';
import { explicitOrder, type PlannedResource, planResources } from './template-plan.ts';
import { defaultFunctions, scopeFunctions, type TemplateScope } from './template-scope.ts';
import { userFunctions } from './user-functions.ts';

/** A template with everything computed that needs no other resource. */
export type PreparedTemplate = {
  readonly template: Template;
  readonly parameters: ReadonlyMap<string, Json>;
  readonly evaluator: Evaluator;
  readonly planned: readonly PlannedResource[];
  readonly order: ReadonlyMap<PlannedResource, readonly PlannedResource[]>;
};

export type Preparation = {
  readonly template: Template;
  /** As in a parameter file: `{ name: { value } }`. */
  readonly given: JsonObject;
  readonly scope: TemplateScope;
  readonly budget: Budget;
  readonly nowMicros: number;
  /** GUID from which `newGuid()` makes its values: the same deployment has the same ones when it runs again. */
  readonly seed: string;
};

/** Throws `templateInvalid` and `resourceInvalid`, with the place in the template. */
export async function prepareTemplate(preparation: Preparation): Promise<PreparedTemplate> {
  const { template, scope, budget, given } = preparation;
  const place: PlaceFunctions = {
    ...tooEarly,
    ...scopeFunctions(scope),
    ...userFunctions(template, budget),
    deployment: deploymentFunction(preparation),
  };
  const onlyInDefaults = defaultFunctions(preparation.nowMicros, preparation.seed);
  const parameters = await resolveParameters(
    template,
    given,
    (parameter) =>
      new Evaluator({ ...place, ...onlyInDefaults, parameters: (args) => parameter(args.count(1).text(0)) }, budget),
  );
  const values: PlaceFunctions = { ...place, parameters: parameterFunction(parameters) };
  const evaluator = new Evaluator(
    { ...values, variables: variableFunction(template.variables, values, budget) },
    budget,
  );
  return await preparedWith({ template, parameters, evaluator, scope });
}

/** A nested template whose expressions are those of the template around it (scope `outer`). */
export async function preparedWith({
  scope,
  ...prepared
}: Pick<PreparedTemplate, 'template' | 'parameters' | 'evaluator'> & {
  readonly scope: TemplateScope;
}): Promise<PreparedTemplate> {
  const planned = await planResources(prepared.template.resources, prepared.evaluator, scope);
  return { ...prepared, planned, order: explicitOrder(prepared.template.resources, planned) };
}

/** Names, conditions, loops and variables are computed before anything is deployed. */
const tooEarly: PlaceFunctions = {
  reference: refuseHere,
  references: refuseHere,
  'list*': refuseHere,
  copyindex: (args) => {
    throw args.fail('it stands outside a loop');
  },
};

function refuseHere(args: Parameters<PlaceFunction>[0]): never {
  throw args.fail('it can only stand in the properties of a resource and in outputs');
}

function deploymentFunction({ scope, template }: Preparation): PlaceFunction {
  return () => ({
    name: scope.deploymentName,
    properties: {
      template: { $schema: template.$schema, contentVersion: template.contentVersion },
      mode: 'Incremental',
      provisioningState: 'Running',
    },
  });
}

function parameterFunction(parameters: ReadonlyMap<string, Json>): PlaceFunction {
  return (args) => {
    const name = args.count(1).text(0);
    const key = [...parameters.keys()].find((each) => each.toLowerCase() === name.toLowerCase());
    const value = key === undefined ? undefined : parameters.get(key);
    if (value !== undefined) return value;
    throw args.fail(`the template has no parameter '${name.slice(0, 100)}'`);
  };
}

/** Each variable is computed once, when it is first used. */
function variableFunction(variables: JsonObject, place: PlaceFunctions, budget: Budget): PlaceFunction {
  const known = new Map<string, Json>();
  const underway = new Set<string>();
  const evaluator: Evaluator = new Evaluator({ ...place, variables: (args) => find(args.count(1).text(0)) }, budget);
  const find = async (name: string): Promise<Json> => {
    const key = name.toLowerCase();
    const value = known.get(key);
    if (value !== undefined) return value;
    if (underway.has(key)) throw new ExpressionError(`the variable '${name.slice(0, 100)}' uses itself`);
    underway.add(key);
    const computed = await variableValue(variables, name, evaluator);
    known.set(key, computed);
    return computed;
  };
  return (args) => find(args.count(1).text(0));
}

async function variableValue(variables: JsonObject, name: string, evaluator: Evaluator): Promise<Json> {
  const { copy, ...plain } = variables;
  const loops = copy !== undefined && isJsonList(copy) ? copy : [];
  const loop = loops.find((each) => isJsonObject(each) && String(each.name).toLowerCase() === name.toLowerCase());
  const where = `variables.${name}`;
  if (isJsonObject(loop ?? null))
    return memberOf(await evaluator.evaluate({ copy: [loop ?? null] }, 'variables'), name) ?? [];
  const value = memberOf(plain, name);
  if (value === undefined) throw new ExpressionError(`the template has no variable '${name.slice(0, 100)}'`);
  return await evaluator.evaluate(value, where);
}

/** The variables are there to be looked at even when nothing uses them. Throws `templateInvalid`. */
export async function checkVariables({ template, evaluator }: PreparedTemplate): Promise<void> {
  for (const name of Object.keys(template.variables)) {
    if (name === 'copy') continue;
    if (name.includes("'")) throw templateInvalid('the name holds a quote', `variables.${name}`);
    await evaluator.evaluate(`[variables('${name}')]`, `variables.${name}`);
  }
}
