import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { ExpressionError } from './expression-error.ts';

/** The evaluated arguments of one call, read with the form a function needs. Everything throws ExpressionError. */
export class Arguments {
  readonly name: string;
  readonly all: readonly Json[];

  constructor(name: string, all: readonly Json[]) {
    this.name = name;
    this.all = all;
  }

  /** At least `min` and at most `max` arguments. */
  count(min: number, max = min): this {
    if (this.all.length >= min && this.all.length <= max) return this;
    const wanted = max === min ? `${min}` : max === Number.POSITIVE_INFINITY ? `${min} or more` : `${min} to ${max}`;
    throw this.fail(`it takes ${wanted} arguments, not ${this.all.length}`);
  }

  value(index: number): Json {
    const value = this.all[index];
    if (value === undefined) throw this.fail(`argument ${index + 1} is missing`);
    return value;
  }

  text(index: number): string {
    const value = this.value(index);
    if (typeof value === 'string') return value;
    throw this.#wrong(index, 'a string');
  }

  /** The argument as a string, also when it is a number or a truth value. */
  plain(index: number): string {
    return plainText(this.value(index)) ?? this.#raise(index, 'a string, number or truth value');
  }

  int(index: number): number {
    const value = this.value(index);
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    throw this.#wrong(index, 'a whole number');
  }

  flag(index: number): boolean {
    const value = this.value(index);
    if (typeof value === 'boolean') return value;
    throw this.#wrong(index, 'a truth value');
  }

  list(index: number): readonly Json[] {
    const value = this.value(index);
    return isJsonList(value) ? value : this.#raise(index, 'an array');
  }

  object(index: number): JsonObject {
    const value = this.value(index);
    return isJsonObject(value) ? value : this.#raise(index, 'an object');
  }

  fail(reason: string): ExpressionError {
    return new ExpressionError(`the function '${this.name}' cannot do this: ${reason}`);
  }

  #wrong(index: number, wanted: string): ExpressionError {
    return this.fail(`argument ${index + 1} is not ${wanted}`);
  }

  #raise(index: number, wanted: string): never {
    throw this.#wrong(index, wanted);
  }
}

export function isJsonList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/** Undefined for arrays, objects and null. Truth values are written `True` and `False`, as Azure does. */
export function plainText(value: Json): string | undefined {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

export type TemplateFunction = (args: Arguments) => Json;
export type TemplateFunctions = Readonly<Record<string, TemplateFunction>>;
