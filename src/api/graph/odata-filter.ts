import { BerthError } from '../../core/errors.ts';
import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';

const maxLength = 8_192;
const maxTerms = 100;

type Value = string | boolean | null;
type Term =
  | { readonly kind: 'eq' | 'ne'; readonly path: string; readonly value: Value }
  | { readonly kind: 'startsWith'; readonly path: string; readonly value: string }
  | { readonly kind: 'any'; readonly path: string; readonly value: string };

/** A `$filter`: one of these lists, all of whose terms hold. */
export type ODataFilter = readonly (readonly Term[])[];

const literal = "'((?:[^']|'')*)'";
const forms = [
  { kind: 'startsWith', pattern: new RegExp(String.raw`^startswith\(\s*([\w/]+)\s*,\s*${literal}\s*\)`, 'i') },
  { kind: 'any', pattern: new RegExp(String.raw`^([\w/]+)/any\(\s*(\w+)\s*:\s*(\w+)\s+eq\s+${literal}\s*\)`, 'i') },
  { kind: 'compare', pattern: new RegExp(String.raw`^([\w/]+)\s+(eq|ne)\s+(?:${literal}|(true|false|null)\b)`, 'i') },
] as const;

/**
 * Reads a filter: comparisons, `startswith` and `any` over lists of texts, joined by `and` and `or`, of which `and` binds
 * first; no parentheses. Throws `filterInvalid`. Source: OData 4.01 URL conventions, section 5.1.1; wire contract, 5.2.
 */
export function parseFilter(text: string): ODataFilter {
  if (text.length > maxLength) throw invalid('it is too long');
  const lists: Term[][] = [[]];
  let rest = text.trim();
  for (let count = 0; count < maxTerms; count += 1) {
    const { term, length } = readTerm(rest);
    lists.at(-1)?.push(term);
    rest = rest.slice(length).trimStart();
    if (rest === '') return lists;
    const [joint, word] = /^(and|or)\s+/i.exec(rest) ?? [];
    if (joint === undefined) throw invalid(`'and' or 'or' is expected at '${rest.slice(0, 40)}'`);
    if (word?.toLowerCase() === 'or') lists.push([]);
    rest = rest.slice(joint.length);
  }
  throw invalid('it has too many terms');
}

/** Texts are compared without regard to case, as the directory of Microsoft does. */
export function matches(filter: ODataFilter, object: JsonObject): boolean {
  return filter.some((terms) => terms.every((term) => holds(term, object)));
}

/** The value that every match has at this path; undefined when the filter does not fix it. */
export function fixedValue(filter: ODataFilter, path: string): string | undefined {
  const [terms, ...others] = filter;
  if (terms === undefined || others.length > 0) return undefined;
  const found = terms.find((term) => (term.kind === 'eq' || term.kind === 'any') && term.path === path);
  return typeof found?.value === 'string' ? found.value : undefined;
}

function readTerm(text: string): { readonly term: Term; readonly length: number } {
  for (const { kind, pattern } of forms) {
    const found = pattern.exec(text);
    if (found === null) continue;
    const [{ length }, path = '', second = '', third, fourth] = found;
    switch (kind) {
      case 'startsWith':
        return { term: { kind, path, value: unquoted(second) }, length };
      case 'any':
        if (second !== third) throw invalid(`'${third}' is not the variable of any()`);
        return { term: { kind, path, value: unquoted(fourth ?? '') }, length };
      case 'compare': {
        const value = third === undefined ? constantOf(fourth ?? '') : unquoted(third);
        return { term: { kind: second.toLowerCase() === 'eq' ? 'eq' : 'ne', path, value }, length };
      }
    }
  }
  throw invalid(`it is not understood at '${text.slice(0, 40)}'`);
}

function holds(term: Term, object: JsonObject): boolean {
  const value = at(object, term.path);
  switch (term.kind) {
    case 'eq':
      return same(value ?? null, term.value);
    case 'ne':
      return !same(value ?? null, term.value);
    case 'startsWith':
      return typeof value === 'string' && value.toLowerCase().startsWith(term.value.toLowerCase());
    case 'any':
      return Array.isArray(value) && value.some((each: Json) => same(each, term.value));
  }
}

function same(left: Json, right: Value): boolean {
  if (typeof left === 'string' && typeof right === 'string') return left.toLowerCase() === right.toLowerCase();
  return left === right;
}

function at(object: JsonObject, path: string): Json | undefined {
  let value: Json | undefined = object;
  for (const name of path.split('/'))
    value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return value;
}

function constantOf(word: string): boolean | null {
  return word.toLowerCase() === 'null' ? null : word.toLowerCase() === 'true';
}

function unquoted(text: string): string {
  return text.replaceAll("''", "'");
}

function invalid(reason: string): BerthError {
  return new BerthError('filterInvalid', reason);
}
