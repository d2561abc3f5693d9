import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { type Evaluator, templateInvalid } from './evaluator.ts';
import type { ParameterDefinition, Template } from './template.ts';
import { checkValue } from './type-definitions.ts';

type Definitions = Readonly<Record<string, ParameterDefinition>>;

/**
 * The value of every parameter: given, or computed from its default, which may use other parameters. Throws `templateInvalid`
 * for one that is missing, unknown, or against its definition.
 */
export async function resolveParameters(
  { parameters: definitions, definitions: types }: Pick<Template, 'parameters' | 'definitions'>,
  given: JsonObject,
  evaluatorWith: (parameter: (name: string) => Promise<Json>) => Evaluator,
): Promise<ReadonlyMap<string, Json>> {
  const unknown = Object.keys(given).find((name) => nameOf(definitions, name) === undefined);
  if (unknown !== undefined)
    throw templateInvalid('the template has no parameter of this name', `parameters.${unknown}`);
  const values = new Map<string, Json>();
  const underway = new Set<string>();
  const resolve = async (asked: string): Promise<Json> => {
    const name = nameOf(definitions, asked);
    const definition = name === undefined ? undefined : definitions[name];
    if (name === undefined || definition === undefined)
      throw templateInvalid('the template has no parameter of this name', `parameters.${asked}`);
    const known = values.get(name);
    if (known !== undefined) return known;
    const where = `parameters.${name}`;
    if (underway.has(name)) throw templateInvalid('its default value uses itself', where);
    underway.add(name);
    const value = givenValue(given, name) ?? (await defaultValue(evaluatorWith(resolve), definition, where));
    checkValue(definition, value, types, where);
    values.set(name, value);
    return value;
  };
  for (const name of Object.keys(definitions)) await resolve(name);
  return values;
}

export function isSecure({ type }: { readonly type: string }): boolean {
  return type.startsWith('secure');
}

/** Parameters and outputs as a deployment shows them: secure ones without their values. Source: Azure Resource Manager, "Deployments - Get". */
export function shownValues(
  definitions: Readonly<Record<string, { readonly type: string }>>,
  values: ReadonlyMap<string, Json>,
): JsonObject {
  return Object.fromEntries(
    [...values].map(([name, value]) => {
      const { type } = definitions[name] ?? { type: 'string' };
      const shown = shownTypes[type] ?? type;
      return [name, isSecure({ type }) ? { type: shown } : { type: shown, value }];
    }),
  );
}

const shownTypes: Readonly<Record<string, string>> = {
  string: 'String',
  securestring: 'SecureString',
  int: 'Int',
  bool: 'Bool',
  object: 'Object',
  secureobject: 'SecureObject',
  array: 'Array',
};

function nameOf(definitions: Definitions, name: string): string | undefined {
  return Object.keys(definitions).find((each) => each.toLowerCase() === name.toLowerCase());
}

function givenValue(given: JsonObject, name: string): Json | undefined {
  const key = Object.keys(given).find((each) => each.toLowerCase() === name.toLowerCase());
  const entry = key === undefined ? undefined : given[key];
  if (entry === undefined || entry === null) return undefined;
  if (isJsonObject(entry) && entry.reference !== undefined)
    throw templateInvalid('values from a key vault are not supported; give the value itself', `parameters.${name}`);
  if (isJsonObject(entry) && entry.value !== undefined) return entry.value;
  throw templateInvalid("it is not of the form {'value': …}", `parameters.${name}`);
}

async function defaultValue(evaluator: Evaluator, definition: ParameterDefinition, where: string): Promise<Json> {
  if (definition.defaultValue !== undefined)
    return await evaluator.evaluate(definition.defaultValue, `${where}.defaultValue`);
  if (definition.nullable === true) return null;
  throw templateInvalid('the parameter has no value and no default', where);
}
