import { z } from 'zod';
import { type Json, type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { templateInvalid } from './evaluator.ts';
import {
  type KnownType,
  resolvedType,
  type TypeDefinition,
  type TypeDefinitions,
  typeSchema,
} from './type-definitions.ts';
import { userFunctionsSchema } from './user-functions.ts';

const jsonSchema: z.ZodType<Json> = z.json();

const parameterSchema = typeSchema.extend({ defaultValue: jsonSchema.exactOptional() });
export type ParameterDefinition = KnownType<z.infer<typeof parameterSchema>>;

const loopSchema = z.object({
  name: z.string().exactOptional(),
  count: z.union([z.int(), z.string()]),
  mode: z.string().exactOptional(),
  batchSize: jsonSchema.exactOptional(),
});

const resourceSchema = z.object({
  type: z.string().max(500),
  apiVersion: z.string().max(50),
  name: z.string(),
  existing: z.boolean().exactOptional(),
  condition: z.union([z.boolean(), z.string()]).exactOptional(),
  copy: loopSchema.exactOptional(),
  dependsOn: z.array(z.string()).exactOptional(),
  scope: z.string().exactOptional(),
  resourceGroup: z.string().exactOptional(),
  subscriptionId: z.string().exactOptional(),
  resources: z.union([z.array(jsonObjectSchema), z.record(z.string(), jsonObjectSchema)]).exactOptional(),
});

/** One entry of `resources`, with its place, and its text as it stands for what is sent on. */
export type ResourceDefinition = Omit<z.infer<typeof resourceSchema>, 'resources'> & {
  readonly where: string;
  readonly symbol: string | undefined;
  readonly body: JsonObject;
  readonly children: readonly ResourceDefinition[];
};

const outputSchema = typeSchema.extend({
  value: jsonSchema.exactOptional(),
  condition: z.union([z.boolean(), z.string()]).exactOptional(),
  copy: z.object({ count: z.union([z.int(), z.string()]), input: jsonSchema }).exactOptional(),
});
export type OutputDefinition = KnownType<z.infer<typeof outputSchema>>;

const templateSchema = z.object({
  $schema: z
    .string()
    .regex(/^https?:\/\/schema\.management\.azure\.com\/schemas\/[\w-]+\/deploymentTemplate\.json#?$/i, {
      error: 'it is not the schema of templates for resource groups',
    }),
  contentVersion: z.string().regex(/^\d+\.\d+\.\d+\.\d+$/, { error: 'it is not of the form 1.0.0.0' }),
  languageVersion: z.string().exactOptional(),
  parameters: z.record(z.string(), parameterSchema).default({}),
  variables: jsonObjectSchema.default({}),
  functions: userFunctionsSchema.default([]),
  imports: z.never({ error: 'extensions are not supported' }).exactOptional(),
  definitions: z.record(z.string(), typeSchema).default({}),
  resources: z.union([z.array(jsonObjectSchema), z.record(z.string(), jsonObjectSchema)]).default([]),
  outputs: z.record(z.string(), outputSchema).default({}),
});

export type Template = Omit<z.infer<typeof templateSchema>, 'parameters' | 'outputs' | 'resources'> & {
  readonly parameters: Readonly<Record<string, ParameterDefinition>>;
  readonly outputs: Readonly<Record<string, OutputDefinition>>;
  readonly resources: readonly ResourceDefinition[];
};

const maxDepth = 8;

/** Reads a template. Throws `resourceInvalid` with every problem and its place. Source: Azure Resource Manager, "Template structure". */
export function parseTemplate(value: JsonObject, where: string): Template {
  const { parameters, outputs, resources, ...rest } = parseProperties(templateSchema, value, where);
  const { definitions } = rest;
  return {
    ...rest,
    parameters: resolvedTypes(parameters, definitions, `${where}.parameters`),
    outputs: resolvedTypes(outputs, definitions, `${where}.outputs`),
    resources: definitionsOf(resources, { where: `${where}.resources`, parent: undefined, depth: 0 }),
  };
}

function resolvedTypes<Definition extends TypeDefinition>(
  declared: Readonly<Record<string, Definition>>,
  definitions: TypeDefinitions,
  where: string,
): Record<string, KnownType<Definition>> {
  const all = Object.entries(declared);
  return Object.fromEntries(all.map(([name, each]) => [name, resolvedType(each, definitions, `${where}.${name}`)]));
}

type Place = {
  readonly where: string;
  readonly parent: { readonly type: string; readonly name: string } | undefined;
  readonly depth: number;
};

function definitionsOf(
  entries: readonly JsonObject[] | Readonly<Record<string, JsonObject>>,
  place: Place,
): ResourceDefinition[] {
  if (place.depth > maxDepth) throw templateInvalid('resources are nested too deeply', place.where);
  if (isList(entries))
    return entries.map((body, index) => definitionOf(body, undefined, `${place.where}[${index}]`, place));
  return Object.entries(entries).map(([symbol, body]) => definitionOf(body, symbol, `${place.where}.${symbol}`, place));
}

function definitionOf(
  body: JsonObject,
  symbol: string | undefined,
  where: string,
  { parent, depth }: Place,
): ResourceDefinition {
  const { resources = [], ...own } = parseProperties(resourceSchema, body, where);
  const name = { type: own.type, name: own.name };
  const full = parent === undefined || own.type.includes('.') ? name : below(parent, name, where);
  const children = definitionsOf(resources, { where: `${where}.resources`, parent: full, depth: depth + 1 });
  return { ...own, ...full, where, symbol, body, children };
}

/** A child inside its parent's definition gives only the end of its type and name. */
function below(parent: { readonly type: string; readonly name: string }, child: typeof parent, where: string) {
  const type = `${parent.type}/${child.type}`;
  const names = [parent.name, child.name];
  if (!names.some((name) => name.startsWith('['))) return { type, name: names.join('/') };
  if (names.some((name) => name.startsWith('[[')))
    throw templateInvalid('the name is not one a resource can have', where);
  const parts = names.map((name) => (name.startsWith('[') ? name.slice(1, -1) : `'${name.replaceAll("'", "''")}'`));
  return { type, name: `[concat(${parts.join(", '/', ")})]` };
}

function isList(
  entries: readonly JsonObject[] | Readonly<Record<string, JsonObject>>,
): entries is readonly JsonObject[] {
  return Array.isArray(entries);
}
