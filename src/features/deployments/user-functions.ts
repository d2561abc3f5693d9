import { z } from 'zod';
import type { Json } from '../../wire/arm/json.ts';
import type { Arguments } from './arguments.ts';
import { type Budget, Evaluator, type PlaceFunction, type PlaceFunctions } from './evaluator.ts';
import { ExpressionError } from './expression-error.ts';
import { checkValue, type TypeDefinitions, typeSchema } from './type-definitions.ts';

const memberSchema = z.object({
  parameters: z.array(typeSchema.extend({ name: z.string() })).default([]),
  output: typeSchema.extend({ value: z.json() }),
});
type Member = z.infer<typeof memberSchema>;

/** The functions that a template brings: `contoso.uniqueName(…)`. Source: Azure Resource Manager, "User-defined functions". */
export const userFunctionsSchema = z
  .array(z.object({ namespace: z.string(), members: z.record(z.string(), memberSchema) }))
  .max(256);

const maxDepth = 32;

export type UserFunctions = {
  readonly functions: z.infer<typeof userFunctionsSchema>;
  readonly definitions: TypeDefinitions;
};

/** By lower-cased name with its namespace. A function sees its own parameters and the other functions, nothing else. */
export function userFunctions({ functions, definitions }: UserFunctions, budget: Budget): PlaceFunctions {
  const all: Record<string, PlaceFunction> = Object.create(null);
  const calls = { depth: 0 };
  for (const { namespace, members } of functions) {
    for (const [name, member] of Object.entries(members)) {
      all[`${namespace}.${name}`.toLowerCase()] = functionOf({ member, definitions, budget, calls, all });
    }
  }
  return all;
}

type Making = {
  readonly member: Member;
  readonly definitions: TypeDefinitions;
  readonly budget: Budget;
  /** Calls under way in each other; a template computes one value after the other. */
  readonly calls: { depth: number };
  readonly all: PlaceFunctions;
};

function functionOf(making: Making): PlaceFunction {
  const { calls } = making;
  return async (args) => {
    if (calls.depth >= maxDepth) throw args.fail('it calls itself too deeply');
    calls.depth += 1;
    try {
      return await called(making, args);
    } finally {
      calls.depth -= 1;
    }
  };
}

async function called({ member, definitions, budget, all }: Making, args: Arguments): Promise<Json> {
  const required = member.parameters.filter(({ nullable }) => nullable !== true).length;
  args.count(required, member.parameters.length);
  const given = new Map<string, Json>();
  for (const [index, { name, ...definition }] of member.parameters.entries()) {
    const value = args.all[index] ?? null;
    checkValue(definition, value, definitions, `${args.name}(${name})`);
    given.set(name.toLowerCase(), value);
  }
  const evaluator = new Evaluator(
    { ...all, parameters: (asked) => parameterOf(given, asked.count(1).text(0)) },
    budget,
  );
  const { value, ...definition } = member.output;
  const result = await evaluator.evaluate(value, args.name);
  checkValue(definition, result, definitions, args.name);
  return result;
}

function parameterOf(given: ReadonlyMap<string, Json>, name: string): Json {
  const value = given.get(name.toLowerCase());
  if (value !== undefined) return value;
  throw new ExpressionError(`the function has no parameter '${name.slice(0, 100)}'`);
}
