import { isJsonObject, type Json, type JsonObject, mergeJson } from '../../wire/arm/json.ts';
import { type Arguments, isJsonList, type TemplateFunctions } from './arguments.ts';

const many = Number.POSITIVE_INFINITY;
/** Source: Azure Resource Manager, "range". */
const maxRange = 10_000;

/** Functions over arrays, objects and texts, by lower-cased name. Source: Azure Resource Manager, "Array functions", "Object functions". */
export const listFunctions: TemplateFunctions = {
  array: (args) => {
    const value = args.count(1).value(0);
    return isJsonList(value) ? value : [value];
  },
  createarray: (args) => args.all,
  createobject: (args) => createObject(args),
  length: (args) => lengthOf(args.count(1)),
  empty: (args) => args.count(1).value(0) === null || lengthOf(args) === 0,
  contains: (args) => contains(args.count(2)),
  first: (args) => atEnd(args.count(1), 0),
  last: (args) => atEnd(args.count(1), -1),
  skip: (args) => part(args.count(2), Math.max(0, args.int(1)), undefined),
  take: (args) => part(args.count(2), 0, Math.max(0, args.int(1))),
  indexof: (args) => position(args.count(2), 'first'),
  lastindexof: (args) => position(args.count(2), 'last'),
  union: (args) => union(args.count(1, many)),
  intersection: (args) => intersection(args.count(1, many)),
  range: (args) => range(args.count(2)),
  flatten: (args) => args.count(1).list(0).flat(),
  items: (args) =>
    Object.entries(args.count(1).object(0))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value })),
  objectkeys: (args) => Object.keys(args.count(1).object(0)).sort(),
  tryget: (args) => tryGet(args.count(2, many)),
};

/** Whether two values are the same; texts with regard to case. */
export function isSame(a: Json, b: Json): boolean {
  if (isJsonList(a))
    return isJsonList(b) && a.length === b.length && a.every((each, at) => isSame(each, b[at] ?? null));
  if (!isJsonObject(a)) return a === b;
  const keys = Object.keys(a);
  return (
    isJsonObject(b) &&
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && isSame(a[key] ?? null, b[key] ?? null))
  );
}

/** A member, by its name without regard to case; undefined when there is none. */
export function memberOf(value: Json, name: Json): Json | undefined {
  if (isJsonList(value)) return typeof name === 'number' ? value[name] : undefined;
  if (!isJsonObject(value) || typeof name !== 'string') return undefined;
  if (Object.hasOwn(value, name)) return value[name];
  const key = Object.keys(value).find((each) => each.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : value[key];
}

function createObject(args: Arguments): Json {
  if (args.all.length % 2 !== 0) throw args.fail('names and values have to come in pairs');
  const names = args.all.flatMap((_, index) => (index % 2 === 0 ? [args.text(index)] : []));
  return Object.fromEntries(names.map((name, index) => [name, args.value(index * 2 + 1)]));
}

function lengthOf(args: Arguments): number {
  const value = args.value(0);
  if (typeof value === 'string' || isJsonList(value)) return value.length;
  return Object.keys(args.object(0)).length;
}

function contains(args: Arguments): boolean {
  const [container, item] = [args.value(0), args.value(1)];
  if (typeof container === 'string') return container.includes(args.plain(1));
  if (isJsonList(container)) return container.some((each) => isSame(each, item));
  return memberOf(args.object(0), args.text(1)) !== undefined;
}

function atEnd(args: Arguments, index: number): Json {
  const value = args.value(0);
  if (typeof value === 'string') return value.at(index) ?? '';
  return args.list(0).at(index) ?? null;
}

function part(args: Arguments, start: number, end: number | undefined): Json {
  const value = args.value(0);
  return typeof value === 'string' ? value.slice(start, end) : args.list(0).slice(start, end);
}

function position(args: Arguments, which: 'first' | 'last'): Json {
  const value = args.value(0);
  if (isJsonList(value)) {
    const isIt = (each: Json) => isSame(each, args.value(1));
    return which === 'first' ? value.findIndex(isIt) : value.findLastIndex(isIt);
  }
  const [text, wanted] = [args.text(0).toLowerCase(), args.text(1).toLowerCase()];
  return which === 'first' ? text.indexOf(wanted) : text.lastIndexOf(wanted);
}

function union(args: Arguments): Json {
  if (isJsonList(args.value(0))) return distinct(args.all.flatMap((_, index) => args.list(index)));
  return args.all.reduce<JsonObject>((all, _, index) => mergeJson(all, args.object(index)), {});
}

function intersection(args: Arguments): Json {
  if (isJsonList(args.value(0))) {
    const others = args.all
      .slice(1)
      .map((_, index) => new Set(args.list(index + 1).map((each) => JSON.stringify(each))));
    return distinct(args.list(0)).filter((each) => others.every((other) => other.has(JSON.stringify(each))));
  }
  const others = args.all.slice(1).map((_, index) => args.object(index + 1));
  const isShared = ([name, value]: [string, Json]) =>
    others.every((other) => Object.hasOwn(other, name) && isSame(other[name] ?? null, value));
  return Object.fromEntries(Object.entries(args.object(0)).filter(isShared));
}

function distinct(values: readonly Json[]): Json[] {
  const byText = new Map(values.map((value) => [JSON.stringify(value), value]));
  return [...byText.values()];
}

function range(args: Arguments): Json {
  const [start, count] = [args.int(0), args.int(1)];
  if (count < 0 || count > maxRange) throw args.fail(`the count is not from 0 to ${maxRange}`);
  return Array.from({ length: count }, (_, index) => start + index);
}

function tryGet(args: Arguments): Json {
  let value: Json = args.value(0);
  for (const name of args.all.slice(1)) value = memberOf(value, name) ?? null;
  return value;
}
