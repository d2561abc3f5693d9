import { TaskError } from './task-error.ts';
import { formatGoDate } from './template-date.ts';
import { isList, isMap, isTruthy, jsonOf, type TemplateValue, templateValueOf, textOf } from './template-value.ts';

/** What functions may know of the world. */
export type FunctionSurroundings = { readonly now: Date };

type Inputs = readonly TemplateValue[];
type TemplateFunction = (inputs: Inputs, surroundings: FunctionSurroundings) => TemplateValue;

const maxTextLength = 4 * 1024 * 1024;
const maxItems = 100_000;
/** Looking for long texts in long texts takes their product in the worst case. */
const maxSoughtLength = 256;
const maxLayoutLength = 1_000;

/** A function by its name. Throws TaskError for one that templates do not have. */
export function templateFunction(name: string): TemplateFunction {
  const found = functions.get(name);
  if (found === undefined) throw new TaskError(`templates have no function ${name.slice(0, 50)}`);
  return found;
}

/** Whether a function makes no text and looks into no list or map beyond its items: what these hold does not count for it. */
export function isPlainFunction(name: string): boolean {
  return plainFunctions.has(name);
}

const plainFunctions = new Set([
  ...['and', 'or', 'not', 'len', 'index', 'default', 'empty', 'coalesce', 'ternary', 'list', 'first', 'last'],
  ...['rest', 'initial', 'append', 'prepend', 'concat', 'reverse', 'compact', 'dict', 'get', 'set', 'hasKey', 'keys'],
  ...['values', 'pick', 'omit', 'merge'],
]);

const text = (inputs: Inputs, index: number) => textOf(inputs[index]);
const last = (inputs: Inputs) => textOf(inputs.at(-1));

function number(inputs: Inputs, index: number): number {
  const value = inputs[index];
  const count = typeof value === 'boolean' ? Number(value) : Number(textOf(value));
  return Number.isFinite(count) ? count : 0;
}

const integer = (inputs: Inputs, index: number) => Math.trunc(number(inputs, index));

function keyOf(value: TemplateValue): string {
  if (isList(value) || isMap(value)) throw new TaskError('a template looks something up by a list or a map');
  return textOf(value);
}

function list(value: TemplateValue): readonly TemplateValue[] {
  if (isList(value)) return value;
  return value === undefined ? [] : [value];
}

function map(value: TemplateValue): ReadonlyMap<string, TemplateValue> {
  return isMap(value) ? value : new Map();
}

function bounded(value: string): string {
  requireLength(value.length);
  return value;
}

function requireLength(length: number): void {
  if (length > maxTextLength) throw new TaskError('a template makes a text that is too long');
}

function sought(value: string): string {
  if (value.length > maxSoughtLength)
    throw new TaskError(`a template looks for more than ${maxSoughtLength} characters`);
  return value;
}

/** How often a text is in another, as it is replaced. */
function countOf(value: string, part: string): number {
  if (part === '') return value.length + 1;
  let count = 0;
  for (let at = value.indexOf(part); at >= 0; at = value.indexOf(part, at + part.length)) count += 1;
  return count;
}

function replaced(value: string, old: string, by: string): string {
  requireLength(value.length + countOf(value, sought(old)) * (by.length - old.length));
  return value.replaceAll(old, () => by);
}

function joined(values: readonly TemplateValue[], between: string): string {
  const texts = values.map(textOf);
  requireLength(texts.reduce((length, { length: more }) => length + more, between.length * texts.length));
  return texts.join(between);
}

function split(value: string, at: string): readonly string[] {
  const parts = value.split(sought(at), maxItems + 1);
  if (parts.length > maxItems) throw new TaskError('a template makes a list that is too long');
  return parts;
}

function boundedList(value: readonly TemplateValue[]): readonly TemplateValue[] {
  if (value.length > maxItems) throw new TaskError('a template makes a list that is too long');
  return value;
}

function divide(inputs: Inputs, by: (a: number, b: number) => number): number {
  if (integer(inputs, 1) === 0) throw new TaskError('a template divides by zero');
  return Math.trunc(by(integer(inputs, 0), integer(inputs, 1)));
}

function fold(inputs: Inputs, step: (a: number, b: number) => number): number {
  return inputs.map((_, index) => integer(inputs, index)).reduce(step);
}

function compare(a: TemplateValue, b: TemplateValue): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [left, right] = [textOf(a), textOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The same for values that are equal. */
function identityOf(value: TemplateValue): string {
  return JSON.stringify(jsonOf(value));
}

function isOneOf(value: TemplateValue, others: readonly TemplateValue[]): boolean {
  const identity = identityOf(value);
  return others.some((other) => identityOf(other) === identity);
}

function excluding(values: readonly TemplateValue[], items: readonly TemplateValue[]): readonly TemplateValue[] {
  const identities = new Set(items.map(identityOf));
  return values.filter((value) => !identities.has(identityOf(value)));
}

/** Source: Go's fmt, "Printing": the verbs that tasks use. */
function printf(inputs: Inputs): string {
  let next = 1;
  let length = 0;
  return bounded(
    text(inputs, 0).replaceAll(/%(?:%|([-0]?)(\d{0,3})([svdqtfx]))/g, (verb, flag = '', width = '', kind = '') => {
      if (verb === '%%') return '%';
      const value = inputs[next];
      next += 1;
      const plain = kind === 'q' ? JSON.stringify(textOf(value)) : kind === 'x' ? hex(value) : textOf(value);
      length += Math.max(plain.length, Number(width));
      requireLength(length);
      if (flag === '-') return plain.padEnd(Number(width));
      return plain.padStart(Number(width), flag === '0' ? '0' : ' ');
    }),
  );
}

function hex(value: TemplateValue): string {
  return typeof value === 'number' ? Math.trunc(value).toString(16) : new TextEncoder().encode(textOf(value)).toHex();
}

function indent(count: number, value: string): string {
  const space = ' '.repeat(Math.max(0, Math.min(count, 1000)));
  return `${space}${replaced(value, '\n', `\n${space}`)}`;
}

function index(inputs: Inputs): TemplateValue {
  return inputs.slice(1).reduce<TemplateValue>((value, key) => {
    if (isMap(value)) return value.get(keyOf(key));
    return isList(value) ? value[Number(keyOf(key))] : undefined;
  }, inputs[0]);
}

function slice(inputs: Inputs): TemplateValue {
  const [value] = inputs;
  const to = inputs[2] === undefined ? undefined : integer(inputs, 2);
  return isList(value) ? value.slice(integer(inputs, 1), to) : text(inputs, 0).slice(integer(inputs, 1), to);
}

function dict(inputs: Inputs): TemplateValue {
  const made = new Map<string, TemplateValue>();
  for (let at = 0; at < inputs.length; at += 2) made.set(keyOf(inputs[at]), inputs[at + 1]);
  return made;
}

function picked(inputs: Inputs, isKept: (isNamed: boolean) => boolean): TemplateValue {
  const names = new Set(inputs.slice(1).map(keyOf));
  return new Map([...map(inputs[0])].filter(([key]) => isKept(names.has(key))));
}

function unique(value: readonly TemplateValue[]): readonly TemplateValue[] {
  const seen = new Map(value.map((item) => [identityOf(item), item]));
  return [...seen.values()];
}

function title(value: string): string {
  return value.replaceAll(/(^|\s)(\S)/g, (_, space: string, sign: string) => `${space}${sign.toUpperCase()}`);
}

function trimmed(value: string, signs: string): string {
  const cut = new Set(signs.split(''));
  let [start, end] = [0, value.length];
  while (start < end && cut.has(value.charAt(start))) start += 1;
  while (end > start && cut.has(value.charAt(end - 1))) end -= 1;
  return value.slice(start, end);
}

function range(from: number, to: number, step: number): readonly TemplateValue[] {
  const count = Math.max(0, Math.ceil((to - from) / (step || 1)));
  if (count > maxItems) throw new TaskError('a template makes a list that is too long');
  return Array.from({ length: count }, (_, at) => from + at * step);
}

function base64Text(value: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(value.trim()));
  } catch (cause) {
    throw new TaskError('a template decodes a text that is not base64', { cause });
  }
}

function parsedJson(value: string): TemplateValue {
  try {
    return templateValueOf(JSON.parse(value));
  } catch (cause) {
    throw new TaskError('a template reads a text that is not JSON', { cause });
  }
}

function fail(inputs: Inputs): never {
  throw new TaskError(text(inputs, 0) || 'the template says that the task cannot go on');
}

/** Sources: Go's text/template, "Functions"; Sprig's documentation. Those that read the machine or make keys are left out. */
const functions: ReadonlyMap<string, TemplateFunction> = new Map<string, TemplateFunction>([
  ['and', (inputs) => inputs.find((value) => !isTruthy(value)) ?? (inputs.every(isTruthy) ? inputs.at(-1) : undefined)],
  ['or', (inputs) => inputs.find(isTruthy) ?? inputs.at(-1)],
  ['not', ([value]) => !isTruthy(value)],
  ['eq', ([value, ...others]) => isOneOf(value, others)],
  ['ne', ([a, b]) => identityOf(a) !== identityOf(b)],
  ['lt', ([a, b]) => compare(a, b) < 0],
  ['le', ([a, b]) => compare(a, b) <= 0],
  ['gt', ([a, b]) => compare(a, b) > 0],
  ['ge', ([a, b]) => compare(a, b) >= 0],
  ['len', ([value]) => (isMap(value) ? value.size : isList(value) ? value.length : textOf(value).length)],
  ['index', index],
  ['slice', slice],
  ['print', (inputs) => joined(inputs, '')],
  ['println', (inputs) => `${joined(inputs, ' ')}\n`],
  ['printf', printf],
  ['urlquery', (inputs) => bounded(encodeURIComponent(joined(inputs, '')))],
  ['lower', (inputs) => last(inputs).toLowerCase()],
  ['upper', (inputs) => last(inputs).toUpperCase()],
  ['title', (inputs) => title(last(inputs))],
  ['untitle', (inputs) => last(inputs).replaceAll(/(^|\s)(\S)/g, (word) => word.toLowerCase())],
  ['trim', (inputs) => last(inputs).trim()],
  ['trimAll', (inputs) => trimmed(text(inputs, 1), text(inputs, 0))],
  ['trimPrefix', (inputs) => without(text(inputs, 1), text(inputs, 0), 'start')],
  ['trimSuffix', (inputs) => without(text(inputs, 1), text(inputs, 0), 'end')],
  ['nospace', (inputs) => last(inputs).replaceAll(/\s/g, '')],
  ['trunc', (inputs) => truncated(integer(inputs, 0), text(inputs, 1))],
  ['substr', (inputs) => text(inputs, 2).slice(integer(inputs, 0), integer(inputs, 1))],
  ['contains', (inputs) => text(inputs, 1).includes(sought(text(inputs, 0)))],
  ['hasPrefix', (inputs) => text(inputs, 1).startsWith(text(inputs, 0))],
  ['hasSuffix', (inputs) => text(inputs, 1).endsWith(text(inputs, 0))],
  ['replace', (inputs) => replaced(text(inputs, 2), text(inputs, 0), text(inputs, 1))],
  ['quote', (inputs) => bounded(inputs.map((value) => JSON.stringify(textOf(value))).join(' '))],
  ['squote', (inputs) => bounded(inputs.map((value) => `'${textOf(value)}'`).join(' '))],
  ['cat', (inputs) => joined(inputs, ' ')],
  ['indent', (inputs) => indent(integer(inputs, 0), text(inputs, 1))],
  ['nindent', (inputs) => `\n${indent(integer(inputs, 0), text(inputs, 1))}`],
  ['repeat', (inputs) => repeated(integer(inputs, 0), text(inputs, 1))],
  ['split', (inputs) => new Map(split(text(inputs, 1), text(inputs, 0)).map((part, at) => [`_${at}`, part]))],
  ['splitList', (inputs) => split(text(inputs, 1), text(inputs, 0))],
  ['join', (inputs) => joined(list(inputs[1]), text(inputs, 0))],
  ['sortAlpha', ([value]) => list(value).map(textOf).sort()],
  ['default', ([fallback, value]) => (isTruthy(value) ? value : fallback)],
  ['empty', ([value]) => !isTruthy(value)],
  ['coalesce', (inputs) => inputs.find(isTruthy)],
  ['ternary', ([yes, no, condition]) => (isTruthy(condition) ? yes : no)],
  ['required', ([message, value]) => (isTruthy(value) ? value : fail([message]))],
  ['fail', fail],
  ['toString', (inputs) => last(inputs)],
  ['toStrings', ([value]) => list(value).map(textOf)],
  ['toJson', ([value]) => bounded(JSON.stringify(jsonOf(value)))],
  ['toPrettyJson', ([value]) => bounded(JSON.stringify(jsonOf(value), null, 2))],
  ['fromJson', (inputs) => parsedJson(last(inputs))],
  ['int', (inputs) => integer(inputs, 0)],
  ['int64', (inputs) => integer(inputs, 0)],
  ['float64', (inputs) => number(inputs, 0)],
  ['atoi', (inputs) => integer(inputs, 0)],
  ['add', (inputs) => fold([0, ...inputs], (a, b) => a + b)],
  ['add1', (inputs) => integer(inputs, 0) + 1],
  ['sub', (inputs) => integer(inputs, 0) - integer(inputs, 1)],
  ['mul', (inputs) => fold([1, ...inputs], (a, b) => a * b)],
  ['div', (inputs) => divide(inputs, (a, b) => a / b)],
  ['mod', (inputs) => divide(inputs, (a, b) => a % b)],
  ['max', (inputs) => fold(inputs, Math.max)],
  ['min', (inputs) => fold(inputs, Math.min)],
  ['floor', (inputs) => Math.floor(number(inputs, 0))],
  ['ceil', (inputs) => Math.ceil(number(inputs, 0))],
  ['list', (inputs) => inputs],
  ['first', ([value]) => list(value)[0]],
  ['last', ([value]) => list(value).at(-1)],
  ['rest', ([value]) => list(value).slice(1)],
  ['initial', ([value]) => list(value).slice(0, -1)],
  ['append', ([value, item]) => boundedList([...list(value), item])],
  ['prepend', ([value, item]) => boundedList([item, ...list(value)])],
  ['concat', (inputs) => boundedList(inputs.flatMap(list))],
  ['reverse', ([value]) => list(value).toReversed()],
  ['uniq', ([value]) => unique(list(value))],
  ['compact', ([value]) => list(value).filter(isTruthy)],
  ['has', ([item, value]) => isOneOf(item, list(value))],
  ['without', ([value, ...items]) => excluding(list(value), items)],
  ['until', (inputs) => range(0, integer(inputs, 0), 1)],
  ['untilStep', (inputs) => range(integer(inputs, 0), integer(inputs, 1), Math.max(1, integer(inputs, 2)))],
  ['dict', dict],
  ['get', ([value, key]) => map(value).get(keyOf(key)) ?? ''],
  ['set', ([value, key, item]) => new Map([...map(value), [keyOf(key), item]])],
  ['hasKey', ([value, key]) => map(value).has(keyOf(key))],
  ['keys', ([value]) => [...map(value).keys()]],
  ['values', ([value]) => [...map(value).values()]],
  ['pick', (inputs) => picked(inputs, (isNamed) => isNamed)],
  ['omit', (inputs) => picked(inputs, (isNamed) => !isNamed)],
  ['merge', (inputs) => new Map(inputs.toReversed().flatMap((value) => [...map(value)]))],
  ['b64enc', (inputs) => new TextEncoder().encode(last(inputs)).toBase64()],
  ['b64dec', (inputs) => base64Text(last(inputs))],
  ['now', (_, { now }) => now],
  ['date', (inputs, { now }) => formatGoDate(layout(inputs), inputs[1] instanceof Date ? inputs[1] : now)],
  ['unixEpoch', ([value], { now }) => String(Math.floor((value instanceof Date ? value : now).getTime() / 1000))],
]);

function layout(inputs: Inputs): string {
  const written = text(inputs, 0);
  if (written.length > maxLayoutLength) throw new TaskError('a template has a layout of dates that is too long');
  return written;
}

function without(value: string, part: string, side: 'start' | 'end'): string {
  if (side === 'start') return value.startsWith(part) ? value.slice(part.length) : value;
  return part !== '' && value.endsWith(part) ? value.slice(0, -part.length) : value;
}

function truncated(length: number, value: string): string {
  return length < 0 ? value.slice(length) : value.slice(0, length);
}

function repeated(count: number, value: string): string {
  if (count * value.length > maxTextLength) throw new TaskError('a template makes a text that is too long');
  return value.repeat(Math.max(0, count));
}
