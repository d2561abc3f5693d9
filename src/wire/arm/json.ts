import { z } from 'zod';

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export type JsonObject = { readonly [name: string]: Json };

export const jsonObjectSchema: z.ZodType<JsonObject> = z.record(z.string(), z.json());

/**
 * Applies a JSON merge patch: objects merge, everything else is replaced, null removes. Source: RFC 7386, section 2.
 * Neither side is changed.
 */
export function mergeJson(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, isJsonObject(value) ? mergeJson(objectOr(merged.get(name)), value) : value);
  }
  return Object.fromEntries(merged);
}

/** Reads what the program wrote itself: much cheaper than a schema. Throws SyntaxError or TypeError. */
export function parseJsonObject(text: string): JsonObject {
  const value: unknown = JSON.parse(text);
  if (isJsonObject(value)) return value;
  throw new TypeError('the text is JSON, but not an object');
}

/** For values that came from JSON: everything inside is JSON then. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectOr(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
