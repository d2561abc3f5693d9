import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { type Evaluator, templateInvalid } from './evaluator.ts';
import type { ResourceDefinition } from './template.ts';
import { type TemplateScope, typePath } from './template-scope.ts';

export const deploymentType = 'Microsoft.Resources/deployments';

/** One resource of a template, after loops and names: what is left to compute may need other resources. */
export type PlannedResource = {
  readonly where: string;
  /** `registry`, or `registry[0]` in a loop; undefined in templates without symbolic names. */
  readonly symbol: string | undefined;
  /** The loop it comes from, by name. */
  readonly loop: string | undefined;
  readonly id: string;
  readonly type: string;
  readonly name: string;
  readonly apiVersion: string;
  /** Of its condition. */
  readonly isWanted: boolean;
  /** Only named in the template, not deployed. */
  readonly isExisting: boolean;
  /** As the template has it, without what is about the template alone. */
  readonly body: JsonObject;
  readonly evaluator: Evaluator;
  readonly dependsOn: readonly string[];
};

/** Source: Azure Resource Manager, "Template limits". */
const maxResources = 800;

const aboutTemplate = [
  'type',
  'apiVersion',
  'name',
  'existing',
  'condition',
  'copy',
  'dependsOn',
  'scope',
  'resourceGroup',
  'subscriptionId',
  'resources',
  'comments',
  'metadata',
];

/** Every resource of a template. Throws `templateInvalid`. */
export async function planResources(
  definitions: readonly ResourceDefinition[],
  evaluator: Evaluator,
  scope: TemplateScope,
): Promise<PlannedResource[]> {
  const planned: PlannedResource[] = [];
  for (const definition of definitions) await planDefinition({ definition, evaluator, scope, above: [] }, planned);
  refuseTwins(planned);
  return planned;
}

/** The resources each one waits for because the template says so. Throws `templateInvalid` for unknown ones and circles. */
export function explicitOrder(
  definitions: readonly ResourceDefinition[],
  planned: readonly PlannedResource[],
): ReadonlyMap<PlannedResource, readonly PlannedResource[]> {
  const loops = new Set(loopNames(definitions));
  const waitsFor = (each: PlannedResource) => each.dependsOn.flatMap((name) => named({ planned, loops }, each, name));
  const order = new Map(planned.map((each) => [each, waitsFor(each)]));
  const settled = new Set<PlannedResource>();
  for (const each of planned) refuseCircles(each, order, settled, []);
  return order;
}

/** Finds a resource by symbolic name, id, or name. */
export function findPlanned(planned: readonly PlannedResource[], name: string): PlannedResource | undefined {
  const key = name.toLowerCase();
  return (
    planned.find(({ symbol }) => symbol === name) ??
    planned.find(({ id }) => id.toLowerCase() === key) ??
    planned.find((each) => each.name.toLowerCase() === key || `${each.type}/${each.name}`.toLowerCase() === key)
  );
}

type Planning = {
  readonly definition: ResourceDefinition;
  readonly evaluator: Evaluator;
  readonly scope: TemplateScope;
  /** Ids of the definitions it stands in. */
  readonly above: readonly string[];
};

async function planDefinition(planning: Planning, planned: PlannedResource[]): Promise<void> {
  const { definition, evaluator } = planning;
  const { copy, where, symbol } = definition;
  if (copy === undefined) return await planOne(planning, { symbol, loop: undefined }, planned);
  const loop = copy.name ?? symbol;
  if (loop === undefined) throw templateInvalid('the copy has no name', `${where}.copy`);
  const count = await evaluator.count(copy.count, `${where}.copy.count`);
  for (let index = 0; index < count; index += 1) {
    const within = { ...planning, evaluator: evaluator.with(evaluator.copyIndex(loop, index)) };
    await planOne(
      within,
      { symbol: symbol === undefined ? undefined : `${symbol}[${index}]`, loop: symbol ?? loop },
      planned,
    );
  }
}

async function planOne(
  { definition, evaluator, scope, above }: Planning,
  names: Pick<PlannedResource, 'symbol' | 'loop'>,
  planned: PlannedResource[],
): Promise<void> {
  const { where, type, apiVersion, children, body } = definition;
  if (planned.length >= maxResources) throw templateInvalid(`a template has at most ${maxResources} resources`, where);
  const name = await evaluator.text(definition.name, `${where}.name`);
  const isWanted = await conditionOf(definition.condition, evaluator, where);
  const dependsOn: string[] = [...above];
  for (const [index, each] of (definition.dependsOn ?? []).entries()) {
    dependsOn.push(await evaluator.text(each, `${where}.dependsOn[${index}]`));
  }
  const id = await idOf(definition, name, evaluator, scope);
  planned.push({
    ...names,
    where,
    id,
    type,
    name,
    apiVersion: await evaluator.text(apiVersion, `${where}.apiVersion`),
    isWanted,
    isExisting: definition.existing ?? false,
    body: Object.fromEntries(Object.entries(body).filter(([key]) => !aboutTemplate.includes(key))),
    evaluator,
    dependsOn,
  });
  for (const child of children) await planDefinition({ definition: child, evaluator, scope, above: [id] }, planned);
}

export async function conditionOf(
  condition: boolean | string | undefined,
  evaluator: Evaluator,
  where: string,
): Promise<boolean> {
  const value: Json = condition === undefined ? true : await evaluator.evaluate(condition, `${where}.condition`);
  if (typeof value === 'boolean') return value;
  throw templateInvalid('the condition is not a truth value', `${where}.condition`);
}

async function idOf(
  definition: ResourceDefinition,
  name: string,
  evaluator: Evaluator,
  scope: TemplateScope,
): Promise<string> {
  const { where, type } = definition;
  const path = typePath(type, name.split('/'));
  if (path === undefined)
    throw templateInvalid(
      `the name '${name.slice(0, 200)}' has not one part for each part of the type '${type}'`,
      `${where}.name`,
    );
  return `${await placeOf(definition, evaluator, scope)}/providers/${path}`;
}

/** The group, or what an extension is attached to. */
async function placeOf(
  definition: ResourceDefinition,
  evaluator: Evaluator,
  { subscription, group }: TemplateScope,
): Promise<string> {
  const { where } = definition;
  if (definition.scope !== undefined) {
    const scope = await evaluator.text(definition.scope, `${where}.scope`);
    return scope.startsWith('/') ? scope : `${group.id}/providers/${scope}`;
  }
  const { subscriptionId = subscription.subscriptionId, resourceGroup = group.name } = definition;
  const inSubscription = await evaluator.text(subscriptionId, `${where}.subscriptionId`);
  return `/subscriptions/${inSubscription}/resourceGroups/${await evaluator.text(resourceGroup, `${where}.resourceGroup`)}`;
}

/** Of every loop, also of one that runs no time. */
function loopNames(definitions: readonly ResourceDefinition[]): string[] {
  return definitions.flatMap(({ copy, symbol, children }) => [
    ...(copy === undefined ? [] : [symbol, copy.name].filter((name) => name !== undefined)),
    ...loopNames(children),
  ]);
}

function named(
  { planned, loops }: { readonly planned: readonly PlannedResource[]; readonly loops: ReadonlySet<string> },
  from: PlannedResource,
  name: string,
): PlannedResource[] {
  const loop = planned.filter((each) => each.loop === name);
  if (loop.length > 0) return loop;
  const one = findPlanned(planned, name);
  if (one !== undefined) return [one];
  if (loops.has(name)) return [];
  throw templateInvalid(
    `the resource '${name.slice(0, 300)}' is not defined in the template`,
    `${from.where}.dependsOn`,
  );
}

function refuseCircles(
  each: PlannedResource,
  order: ReadonlyMap<PlannedResource, readonly PlannedResource[]>,
  settled: Set<PlannedResource>,
  path: readonly PlannedResource[],
): void {
  if (settled.has(each)) return;
  if (path.includes(each)) throw circle([...path.slice(path.indexOf(each)), each]);
  for (const before of order.get(each) ?? []) refuseCircles(before, order, settled, [...path, each]);
  settled.add(each);
}

export function circle(path: readonly PlannedResource[]) {
  const names = path.map(({ symbol, id }) => symbol ?? id.split('/providers/').at(-1));
  return templateInvalid(
    `resources wait for each other in a circle: ${names.join(' → ')}`,
    path[0]?.where ?? 'resources',
  );
}

function refuseTwins(planned: readonly PlannedResource[]): void {
  const seen = new Set<string>();
  for (const { id, where, isWanted } of planned) {
    if (!isWanted) continue;
    if (seen.has(id.toLowerCase())) throw templateInvalid(`the resource '${id}' is defined more than once`, where);
    seen.add(id.toLowerCase());
  }
}

export function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
