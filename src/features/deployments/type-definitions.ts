import { z } from 'zod';
import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { isJsonList } from './arguments.ts';
import { templateInvalid } from './evaluator.ts';
import { isSame } from './list-functions.ts';

const bounded = z.int().min(0).exactOptional();
const jsonSchema: z.ZodType<Json> = z.json();

const valueTypes = ['string', 'securestring', 'int', 'bool', 'object', 'secureobject', 'array'] as const;
export type ValueType = (typeof valueTypes)[number];

export const valueTypeSchema = z.preprocess(
  (value) => (typeof value === 'string' ? value.toLowerCase() : value),
  z.enum(valueTypes),
);

/** What a value may be: of a parameter, an output, or a type of the template's own. Source: Azure Resource Manager, "Definitions in ARM templates". */
export type TypeDefinition = {
  /** `#/definitions/{name}`: what is said beside it holds as well. */
  readonly $ref?: string;
  readonly type?: ValueType;
  readonly allowedValues?: readonly Json[];
  readonly minValue?: number;
  readonly maxValue?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly nullable?: boolean;
  readonly properties?: TypeDefinitions;
  /** False: no other members than `properties` has. */
  readonly additionalProperties?: boolean | TypeDefinition;
  readonly items?: false | TypeDefinition;
  readonly prefixItems?: readonly TypeDefinition[];
  /** The type is the one that the member's value picks. */
  readonly discriminator?: { readonly propertyName: string; readonly mapping: TypeDefinitions };
};

const innerSchema: z.ZodType<TypeDefinition> = z.lazy(() => typeSchema);

export const typeSchema = z.object({
  $ref: z.string().exactOptional(),
  type: valueTypeSchema.exactOptional(),
  allowedValues: z.array(jsonSchema).max(1_000).exactOptional(),
  minValue: z.int().exactOptional(),
  maxValue: z.int().exactOptional(),
  minLength: bounded,
  maxLength: bounded,
  nullable: z.boolean().exactOptional(),
  properties: z.record(z.string(), innerSchema).exactOptional(),
  additionalProperties: z.union([z.boolean(), innerSchema]).exactOptional(),
  items: z.union([z.literal(false), innerSchema]).exactOptional(),
  prefixItems: z.array(innerSchema).exactOptional(),
  discriminator: z.object({ propertyName: z.string(), mapping: z.record(z.string(), innerSchema) }).exactOptional(),
});
export type TypeDefinitions = Readonly<Record<string, TypeDefinition>>;
export type KnownType<Definition extends TypeDefinition = TypeDefinition> = Omit<Definition, '$ref'> & {
  readonly type: ValueType;
};

const maxReferences = 16;

/** The definition with what it refers to. Throws `templateInvalid` for one that is not there, leads nowhere, or has no type. */
export function resolvedType<Definition extends TypeDefinition>(
  definition: Definition,
  definitions: TypeDefinitions,
  where: string,
): KnownType<Definition> {
  let { $ref, ...merged } = definition;
  for (let step = 0; $ref !== undefined; step += 1) {
    const name = /^#\/definitions\/([^/]+)$/.exec($ref)?.[1] ?? '';
    const next = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
    if (next === undefined || step > maxReferences)
      throw templateInvalid(`the type '${$ref.slice(0, 200)}' is not defined in the template`, where);
    merged = { ...next, ...merged };
    $ref = next.$ref;
  }
  const { type } = merged;
  if (type === undefined) throw templateInvalid('it has no type', where);
  return { ...merged, type };
}

/** Throws `templateInvalid` with the place of the first thing that is not as defined. */
export function checkValue(definition: TypeDefinition, value: Json, definitions: TypeDefinitions, where: string): void {
  const known = resolvedType(definition, definitions, where);
  if (value === null && known.nullable === true) return;
  if (!hasType(known.type, value)) throw templateInvalid(`the value is not of type ${known.type}`, where);
  const { allowedValues, minValue, maxValue, minLength, maxLength } = known;
  if (allowedValues !== undefined && !isAllowed(allowedValues, value))
    throw templateInvalid(`the value is not one of ${JSON.stringify(allowedValues).slice(0, 500)}`, where);
  if (typeof value === 'number') checkRange(value, minValue, maxValue, where, 'value');
  if (typeof value === 'string' || isJsonList(value)) checkRange(value.length, minLength, maxLength, where, 'length');
  if (isJsonList(value)) checkItems(known, value, definitions, where);
  if (isJsonObject(value)) checkMembers(known, value, definitions, where);
}

export function hasType(type: ValueType, value: Json): boolean {
  switch (type) {
    case 'string':
    case 'securestring':
      return typeof value === 'string';
    case 'int':
      return Number.isInteger(value);
    case 'bool':
      return typeof value === 'boolean';
    case 'object':
    case 'secureobject':
      return isJsonObject(value);
    case 'array':
      return isJsonList(value);
  }
}

function checkItems(
  { prefixItems = [], items }: TypeDefinition,
  list: readonly Json[],
  definitions: TypeDefinitions,
  where: string,
): void {
  if (list.length < prefixItems.length) throw templateInvalid(`it has fewer than ${prefixItems.length} items`, where);
  for (const [index, value] of list.entries()) {
    const definition = prefixItems[index] ?? items;
    if (definition === false) throw templateInvalid(`it has more than ${prefixItems.length} items`, where);
    if (definition !== undefined) checkValue(definition, value, definitions, `${where}[${index}]`);
  }
}

function checkMembers(
  definition: TypeDefinition,
  value: JsonObject,
  definitions: TypeDefinitions,
  where: string,
): void {
  const { properties = {}, additionalProperties, discriminator } = definition;
  if (discriminator !== undefined) checkVariant(discriminator, value, definitions, where);
  for (const [name, member] of Object.entries(properties)) {
    if (Object.hasOwn(value, name)) checkValue(member, value[name] ?? null, definitions, `${where}.${name}`);
    else if (resolvedType(member, definitions, `${where}.${name}`).nullable !== true)
      throw templateInvalid(`the member '${name}' is missing`, where);
  }
  if (additionalProperties === undefined || additionalProperties === true) return;
  for (const [name, member] of Object.entries(value)) {
    if (Object.hasOwn(properties, name)) continue;
    if (additionalProperties === false)
      throw templateInvalid(`the member '${name.slice(0, 100)}' is not expected`, where);
    checkValue(additionalProperties, member, definitions, `${where}.${name}`);
  }
}

/** One of several types, by the value of one member. */
function checkVariant(
  { propertyName, mapping }: NonNullable<TypeDefinition['discriminator']>,
  value: JsonObject,
  definitions: TypeDefinitions,
  where: string,
): void {
  const tag = value[propertyName];
  const variant = typeof tag === 'string' && Object.hasOwn(mapping, tag) ? mapping[tag] : undefined;
  if (variant === undefined)
    throw templateInvalid(`the value is not one of ${Object.keys(mapping).join(', ')}`, `${where}.${propertyName}`);
  checkValue(variant, value, definitions, where);
}

/** An array is allowed when each of its values is. */
function isAllowed(allowed: readonly Json[], value: Json): boolean {
  const isOne = (one: Json) => allowed.some((each) => isSame(each, one));
  return isOne(value) || (isJsonList(value) && value.every(isOne));
}

function checkRange(size: number, min: number | undefined, max: number | undefined, where: string, what: string): void {
  if (min !== undefined && size < min) throw templateInvalid(`the ${what} is below ${min}`, where);
  if (max !== undefined && size > max) throw templateInvalid(`the ${what} is above ${max}`, where);
}
