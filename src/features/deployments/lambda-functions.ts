import { isJsonObject, type Json } from '../../wire/arm/json.ts';
import { isJsonList } from './arguments.ts';
import { ExpressionError } from './expression-error.ts';

/** An expression with names of its own: `lambda('dog', lambdaVariables('dog').age)`. Throws ExpressionError. */
export type Lambda = { readonly arity: number; readonly apply: (...values: readonly Json[]) => Promise<Json> };

/** The arguments of a function that takes lambdas: what is computed, and what it computes with. */
export type LambdaCall = { readonly values: readonly Json[]; readonly lambdas: readonly Lambda[] };

type LambdaFunction = (call: LambdaCall) => Promise<Json>;

/** Functions that take lambdas, by lower-cased name. Source: Azure Resource Manager, "Lambda functions for ARM templates". */
export const lambdaFunctions: Readonly<Record<string, LambdaFunction>> = {
  map: async (call) => {
    const { list, lambda } = listAndLambda('map', call);
    return await each(list, (item, index) => withIndex(lambda, item, index));
  },
  filter: async (call) => {
    const { list, lambda } = listAndLambda('filter', call);
    const kept: Json[] = [];
    for (const [index, item] of list.entries()) {
      if (flag('filter', await withIndex(lambda, item, index))) kept.push(item);
    }
    return kept;
  },
  sort: async (call) => {
    const { list, lambda } = listAndLambda('sort', call);
    return await sorted(list, async (a, b) => flag('sort', await lambda.apply(a, b)));
  },
  reduce: async ({ values, lambdas }) => {
    const { list, lambda } = listAndLambda('reduce', { values: values.slice(0, 1), lambdas });
    const [, initial = null] = values;
    let result = initial;
    for (const [index, item] of list.entries()) {
      result = lambda.arity > 2 ? await lambda.apply(result, item, index) : await lambda.apply(result, item);
    }
    return result;
  },
  toobject: async (call) => {
    const { list, lambda } = listAndLambda('toObject', call);
    const mapped = call.lambdas[1];
    const members = await each(list, async (item): Promise<[string, Json]> => {
      const key = text('toObject', await lambda.apply(item));
      return [key, mapped === undefined ? item : await mapped.apply(item)];
    });
    return Object.fromEntries(members);
  },
  groupby: async (call) => {
    const { list, lambda } = listAndLambda('groupBy', call);
    const keyed = await each(list, async (item, index) => ({
      key: text('groupBy', await withIndex(lambda, item, index)),
      item,
    }));
    const groups = Map.groupBy(keyed, ({ key }) => key);
    return Object.fromEntries([...groups].map(([key, members]) => [key, members.map(({ item }) => item)]));
  },
  mapvalues: async ({ values, lambdas }) => {
    const [object = null] = values;
    const [lambda] = lambdas;
    if (!isJsonObject(object) || lambda === undefined) throw wrong('mapValues', 'it takes an object and a lambda');
    const members = await each(
      Object.entries(object),
      async ([name, value]): Promise<[string, Json]> => [name, await lambda.apply(value)],
    );
    return Object.fromEntries(members);
  },
};

function listAndLambda(name: string, { values, lambdas }: LambdaCall) {
  const [list = null] = values;
  const [lambda] = lambdas;
  if (isJsonList(list) && lambda !== undefined) return { list, lambda };
  throw wrong(name, 'it takes an array and a lambda');
}

async function withIndex(lambda: Lambda, item: Json, index: number): Promise<Json> {
  return lambda.arity > 1 ? await lambda.apply(item, index) : await lambda.apply(item);
}

/** One after the other: they share one budget. */
async function each<Item, Result>(
  list: readonly Item[],
  one: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [index, item] of list.entries()) results.push(await one(item, index));
  return results;
}

/** Merge sort, because the comparison takes time; equal items keep their order. */
async function sorted(list: readonly Json[], isBefore: (a: Json, b: Json) => Promise<boolean>): Promise<Json[]> {
  if (list.length < 2) return [...list];
  const middle = Math.floor(list.length / 2);
  const left = await sorted(list.slice(0, middle), isBefore);
  const right = await sorted(list.slice(middle), isBefore);
  const merged: Json[] = [];
  let [atLeft, atRight] = [0, 0];
  for (;;) {
    const [a, b] = [left[atLeft], right[atRight]];
    if (a === undefined) return [...merged, ...right.slice(atRight)];
    if (b === undefined) return [...merged, ...left.slice(atLeft)];
    const isRightFirst = await isBefore(b, a);
    merged.push(isRightFirst ? b : a);
    if (isRightFirst) atRight += 1;
    else atLeft += 1;
  }
}

function flag(name: string, value: Json): boolean {
  if (typeof value === 'boolean') return value;
  throw wrong(name, 'its lambda does not give a truth value');
}

function text(name: string, value: Json): string {
  if (typeof value === 'string') return value;
  throw wrong(name, 'its lambda does not give a string');
}

function wrong(name: string, reason: string): ExpressionError {
  return new ExpressionError(`the function '${name}' cannot do this: ${reason}`);
}
