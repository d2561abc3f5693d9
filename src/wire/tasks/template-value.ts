import { TaskError } from './task-error.ts';

/** What templates work on: plain data. Maps have text keys and no prototype to reach. */
export type TemplateValue =
  | undefined
  | string
  | number
  | boolean
  | Date
  | readonly TemplateValue[]
  | ReadonlyMap<string, TemplateValue>;

const maxDepth = 64;

/** Objects of JSON or YAML as maps. Throws TaskError when nested deeper than 64. */
export function templateValueOf(value: unknown, depth = 0): TemplateValue {
  if (depth > maxDepth) throw new TaskError(`values are nested deeper than ${maxDepth}`);
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map((item) => templateValueOf(item, depth + 1));
  if (value instanceof Map) return mapOf([...value.entries()], depth);
  if (typeof value === 'object') return mapOf(Object.entries(value), depth);
  return undefined;
}

function mapOf(entries: readonly (readonly [unknown, unknown])[], depth: number): TemplateValue {
  return new Map(entries.map(([key, item]) => [String(key), templateValueOf(item, depth + 1)]));
}

export function isMap(value: TemplateValue): value is ReadonlyMap<string, TemplateValue> {
  return value instanceof Map;
}

export function isList(value: TemplateValue): value is readonly TemplateValue[] {
  return Array.isArray(value);
}

/** What an `if` takes as true: not empty, not zero, not false. Source: Go's text/template, "Actions". */
export function isTruthy(value: TemplateValue): boolean {
  if (value === undefined) return false;
  if (typeof value === 'string') return value.length > 0;
  if (typeof value === 'number') return value !== 0;
  if (typeof value === 'boolean') return value;
  if (isList(value)) return value.length > 0;
  return isMap(value) ? value.size > 0 : true;
}

/** As a template prints it; nothing for what is missing. */
export function textOf(value: TemplateValue): string {
  if (value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  if (isList(value)) return `[${value.map(textOf).join(' ')}]`;
  if (isMap(value)) return `map[${[...value].map(([key, item]) => `${key}:${textOf(item)}`).join(' ')}]`;
  return String(value);
}

export function jsonOf(value: TemplateValue): unknown {
  if (value === undefined) return null;
  if (isList(value)) return value.map(jsonOf);
  if (isMap(value)) return Object.fromEntries([...value].map(([key, item]) => [key, jsonOf(item)]));
  return value;
}
