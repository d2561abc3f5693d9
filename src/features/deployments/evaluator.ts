import { setImmediate } from 'node:timers/promises';
import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { refuse } from '../resources/refuse.ts';
import { Arguments, isJsonList, type TemplateFunctions } from './arguments.ts';
import { type Expression, isExpression, parseExpression } from './expression.ts';
import { ExpressionError, UnresolvedError } from './expression-error.ts';
import { type Lambda, lambdaFunctions } from './lambda-functions.ts';
import { listFunctions, memberOf } from './list-functions.ts';
import { nameFunctions } from './name-functions.ts';
import { textFunctions } from './text-functions.ts';
import { timeFunctions } from './time-functions.ts';
import { valueFunctions } from './value-functions.ts';

/** A function that depends on where it stands: parameters, other resources, the loop it is in. */
export type PlaceFunction = (args: Arguments) => Json | Promise<Json>;
/** By lower-cased name. */
export type PlaceFunctions = Readonly<Record<string, PlaceFunction>>;

/** Values that one deployment may look at; large arguments count as several. */
const maxSteps = 300_000;
const sizePerStep = 64;
const stepsPerLambda = 10;
/** After so many steps other requests have their turn. */
const stepsPerTurn = 1_024;
/** Characters and values that one result may hold. */
const maxSize = 1024 * 1024;

const pureFunctions: TemplateFunctions = {
  ...textFunctions,
  ...listFunctions,
  ...valueFunctions,
  ...nameFunctions,
  ...timeFunctions,
};

/** What may still be computed for a deployment: shared by everything in it. */
export type Budget = { steps: number };
export function newBudget(): Budget {
  return { steps: maxSteps };
}

/** What a lambda's body takes over from where the lambda stands. */
type Inherited = { readonly sizes: WeakMap<object, number>; readonly lambdaScope: ReadonlyMap<string, Json> };
function newInherited(): Inherited {
  return { sizes: new WeakMap(), lambdaScope: new Map() };
}

/** Computes the values of a template. Expressions are walked as data; only the functions of tables are ever called. */
export class Evaluator {
  readonly #functions: PlaceFunctions;
  readonly #budget: Budget;
  readonly #sizes: WeakMap<object, number>;
  /** What the lambdas around give their names, lower-cased. */
  readonly #lambdaScope: ReadonlyMap<string, Json>;

  constructor(functions: PlaceFunctions, budget: Budget, inherited: Inherited = newInherited()) {
    this.#functions = functions;
    this.#budget = budget;
    this.#sizes = inherited.sizes;
    this.#lambdaScope = inherited.lambdaScope;
  }

  /** One with more functions, or others of the same names. */
  with(functions: PlaceFunctions): Evaluator {
    return new Evaluator({ ...this.#functions, ...functions }, this.#budget);
  }

  /** Evaluates every expression in a value. `where` names its place for errors. Throws `templateInvalid`. */
  async evaluate(value: Json, where: string): Promise<Json> {
    await this.#spend(1, where);
    const result = await this.#walk(value, where);
    this.#weigh(result, where);
    return result;
  }

  /** A value that has to be a text. */
  async text(value: Json, where: string): Promise<string> {
    const result = await this.evaluate(value, where);
    if (typeof result === 'string') return result;
    throw templateInvalid('the value is not a string', where);
  }

  async #walk(value: Json, where: string): Promise<Json> {
    if (typeof value === 'string') return await this.#string(value, where);
    if (isJsonList(value)) {
      const list: Json[] = [];
      for (const [index, each] of value.entries()) list.push(await this.evaluate(each, `${where}[${index}]`));
      return list;
    }
    return isJsonObject(value) ? await this.#object(value, where) : value;
  }

  async #object(value: JsonObject, where: string): Promise<Json> {
    const members: [string, Json][] = [];
    for (const [name, each] of Object.entries(value)) {
      if (name === 'copy' && isJsonList(each)) members.push(...(await this.#copies(each, where)));
      else members.push([await this.text(name, where), await this.evaluate(each, `${where}.${name}`)]);
    }
    return Object.fromEntries(members);
  }

  /** `copy` inside properties and variables: arrays made in a loop. Source: Azure Resource Manager, "Property iteration". */
  async #copies(loops: readonly Json[], where: string): Promise<[string, Json][]> {
    const members: [string, Json][] = [];
    for (const loop of loops) {
      const at = `${where}.copy`;
      if (!isJsonObject(loop) || typeof loop.name !== 'string' || loop.input === undefined)
        throw templateInvalid('a copy has name, count and input', at);
      members.push([loop.name, await this.loop({ name: loop.name, count: loop.count ?? null, input: loop.input }, at)]);
    }
    return members;
  }

  /** The values of a loop. */
  async loop(
    { name, count, input }: { readonly name: string; readonly count: Json; readonly input: Json },
    where: string,
  ): Promise<Json[]> {
    const times = await this.count(count, `${where}.count`);
    const list: Json[] = [];
    for (let index = 0; index < times; index += 1) {
      list.push(await this.with(this.copyIndex(name, index)).evaluate(input, `${where}[${index}]`));
    }
    return list;
  }

  /** How often a loop runs. Source: Azure Resource Manager, "Template limits": 800. */
  async count(value: Json, where: string): Promise<number> {
    const count = await this.evaluate(value, where);
    if (typeof count === 'number' && Number.isInteger(count) && count >= 0 && count <= 800) return count;
    throw templateInvalid('the count of a copy is a whole number from 0 to 800', where);
  }

  /** `copyIndex()` inside a loop; loops around it stay reachable by name. */
  copyIndex(name: string, index: number): PlaceFunctions {
    const outer = this.#functions.copyindex;
    return {
      copyindex: (args) => {
        const loop = typeof args.all[0] === 'string' ? args.text(0) : undefined;
        if (loop !== undefined && loop.toLowerCase() !== name.toLowerCase()) {
          if (outer === undefined) throw args.fail(`there is no loop '${loop}' here`);
          return outer(args);
        }
        const offsetAt = loop === undefined ? 0 : 1;
        return index + (args.all.length > offsetAt ? args.int(offsetAt) : 0);
      },
    };
  }

  async #string(text: string, where: string): Promise<Json> {
    if (text.startsWith('[[')) return text.slice(1);
    if (!isExpression(text)) return text;
    try {
      return await this.#compute(parseExpression(text), where);
    } catch (error) {
      if (error instanceof UnresolvedError) return text;
      if (error instanceof ExpressionError) throw templateInvalid(error.message, where);
      throw error;
    }
  }

  async #compute(expression: Expression, where: string): Promise<Json> {
    switch (expression.kind) {
      case 'value':
        return expression.value;
      case 'member':
        return await this.#member(expression, where);
      case 'call':
        return await this.#call(expression, where);
    }
  }

  async #member(expression: Expression & { readonly kind: 'member' }, where: string): Promise<Json> {
    const of = await this.#compute(expression.of, where);
    const name = await this.#compute(expression.name, where);
    const value = memberOf(of, name);
    if (value !== undefined) return value;
    throw new ExpressionError(`there is no member ${JSON.stringify(name).slice(0, 100)} in the value before it`);
  }

  async #call({ name, args }: Expression & { readonly kind: 'call' }, where: string): Promise<Json> {
    const key = name.toLowerCase();
    // Only the branch that counts is computed.
    if (key === 'if') return await this.#branch(args, where);
    if (key === 'coalesce') return await this.#coalesce(args, where);
    if (Object.hasOwn(lambdaFunctions, key)) return await this.#withLambdas(key, args, where);
    const place = key === 'lambdavariables' ? (given: Arguments) => this.#lambdaVariable(given) : this.#functionOf(key);
    if (place === undefined) throw new ExpressionError(`the function '${name}' is not known`);
    const values: Json[] = [];
    for (const arg of args) values.push(await this.#compute(arg, where));
    await this.#spend(1 + Math.floor(this.#sizeOf(values) / sizePerStep), where);
    const result = await place(new Arguments(name, values));
    this.#weigh(result, where);
    return result;
  }

  async #withLambdas(key: string, args: readonly Expression[], where: string): Promise<Json> {
    const values: Json[] = [];
    const lambdas: Lambda[] = [];
    for (const arg of args) {
      if (isLambda(arg)) lambdas.push(this.#lambda(arg.args, where));
      else values.push(await this.#compute(arg, where));
    }
    await this.#spend(1 + Math.floor(this.#sizeOf(values) / sizePerStep), where);
    const result = (await lambdaFunctions[key]?.({ values, lambdas })) ?? null;
    this.#weigh(result, where);
    return result;
  }

  /** The last argument is what is computed, those before it name what it is given. */
  #lambda(args: readonly Expression[], where: string): Lambda {
    const names = args.slice(0, -1).map((arg) => {
      if (arg.kind === 'value' && typeof arg.value === 'string') return arg.value.toLowerCase();
      throw new ExpressionError('the names of a lambda are texts');
    });
    const body = args.at(-1);
    if (body === undefined) throw new ExpressionError('a lambda needs an expression');
    return {
      arity: names.length,
      apply: async (...values) => {
        await this.#spend(stepsPerLambda, where);
        const given = new Map(names.map((name, index) => [name, values[index] ?? null]));
        return await this.#within(given).#compute(body, where);
      },
    };
  }

  /** Names of the lambdas around stay reachable. */
  #within(given: ReadonlyMap<string, Json>): Evaluator {
    const scope = new Map([...this.#lambdaScope, ...given]);
    return new Evaluator(this.#functions, this.#budget, { sizes: this.#sizes, lambdaScope: scope });
  }

  #lambdaVariable(args: Arguments): Json {
    const name = args.count(1).text(0);
    const value = this.#lambdaScope.get(name.toLowerCase());
    if (value === undefined) throw args.fail(`no lambda around it has the name '${name.slice(0, 100)}'`);
    return value;
  }

  #functionOf(key: string): PlaceFunction | undefined {
    if (Object.hasOwn(this.#functions, key)) return this.#functions[key];
    if (Object.hasOwn(pureFunctions, key)) return pureFunctions[key];
    // Every action whose name begins with list can be called by its name.
    return /^list[a-z]+$/.test(key) ? this.#functions['list*'] : undefined;
  }

  async #branch(args: readonly Expression[], where: string): Promise<Json> {
    const [condition, yes, no] = args;
    if (condition === undefined || yes === undefined || no === undefined || args.length > 3)
      throw new ExpressionError("the function 'if' takes 3 arguments");
    const isTrue = new Arguments('if', [await this.#compute(condition, where)]).flag(0);
    return await this.#compute(isTrue ? yes : no, where);
  }

  async #coalesce(args: readonly Expression[], where: string): Promise<Json> {
    for (const arg of args) {
      const value = await this.#compute(arg, where);
      if (value !== null) return value;
    }
    return null;
  }

  async #spend(steps: number, where: string): Promise<void> {
    const before = this.#budget.steps;
    this.#budget.steps -= steps;
    if (this.#budget.steps < 0) throw templateInvalid('the template computes too much', where);
    if (Math.floor(before / stepsPerTurn) !== Math.floor(this.#budget.steps / stepsPerTurn)) await setImmediate();
  }

  #weigh(value: Json, where: string): void {
    if (this.#sizeOf(value) > maxSize) throw templateInvalid('the value becomes too large', where);
  }

  #sizeOf(value: Json): number {
    if (typeof value === 'string') return value.length + 1;
    if (typeof value !== 'object' || value === null) return 1;
    const known = this.#sizes.get(value);
    if (known !== undefined) return known;
    const parts = isJsonList(value) ? value : [...Object.keys(value), ...Object.values(value)];
    const size = parts.reduce<number>((sum, each) => sum + this.#sizeOf(each), 1);
    this.#sizes.set(value, size);
    return size;
  }
}

function isLambda(expression: Expression): expression is Expression & { readonly kind: 'call' } {
  return expression.kind === 'call' && expression.name.toLowerCase() === 'lambda';
}

/** An error of the template itself, with its place in it. */
export function templateInvalid(reason: string, where: string) {
  return refuse('templateInvalid', {
    message: `Deployment template validation failed: at '${where}', ${reason}.`,
    target: where,
  });
}
