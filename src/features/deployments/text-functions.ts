import type { Json } from '../../wire/arm/json.ts';
import { type Arguments, isJsonList, plainText, type TemplateFunctions } from './arguments.ts';

const many = Number.POSITIVE_INFINITY;
const maxPadding = 10_000;
const maxLength = 1024 * 1024;

/** Functions over text, by lower-cased name. Source: Azure Resource Manager, "String functions for ARM templates". */
export const textFunctions: TemplateFunctions = {
  tolower: (args) => args.count(1).plain(0).toLowerCase(),
  toupper: (args) => args.count(1).plain(0).toUpperCase(),
  trim: (args) => args.count(1).plain(0).trim(),
  replace: (args) => joined(args.count(3), args.text(0).split(separator(args, 1)), args.plain(2)),
  split: (args) => split(args.count(2)),
  join: (args) =>
    joined(
      args.count(2),
      args.list(0).map((each) => plainText(each) ?? JSON.stringify(each)),
      args.text(1),
    ),
  concat: (args) => concat(args.count(1, many)),
  format: (args) => format(args.count(1, many)),
  substring: (args) => substring(args.count(1, 3)),
  startswith: (args) => args.count(2).text(0).toLowerCase().startsWith(args.text(1).toLowerCase()),
  endswith: (args) => args.count(2).text(0).toLowerCase().endsWith(args.text(1).toLowerCase()),
  padleft: (args) =>
    args
      .count(2, 3)
      .plain(0)
      .padStart(Math.min(args.int(1), maxPadding), padding(args)),
  base64: (args) => Buffer.from(args.count(1).text(0)).toString('base64'),
  base64tostring: (args) => Buffer.from(args.count(1).text(0), 'base64').toString(),
  base64tojson: (args) => parsed(args, Buffer.from(args.count(1).text(0), 'base64').toString()),
  json: (args) => parsed(args, args.count(1).text(0)),
  string: (args) => {
    const value = args.count(1).value(0);
    return plainText(value) ?? JSON.stringify(value);
  },
  uri: (args) => uri(args.count(2)),
  uricomponent: (args) => encodeURIComponent(args.count(1).text(0)),
  uricomponenttostring: (args) => decodedUri(args),
};

function joined(args: Arguments, parts: readonly string[], between: string): string {
  const length = parts.reduce((sum, part) => sum + part.length + between.length, 0);
  if (length > maxLength) throw args.fail('the text becomes too long');
  return parts.join(between);
}

function separator(args: Arguments, index: number): string {
  const text = args.text(index);
  if (text === '') throw args.fail(`argument ${index + 1} is empty`);
  return text;
}

function padding(args: Arguments): string {
  const text = args.all.length > 2 ? args.text(2) : ' ';
  if (text.length !== 1) throw args.fail('the padding is not one character');
  return text;
}

function split(args: Arguments): Json {
  const marks = args.value(1);
  const separators = isJsonList(marks) ? marks.map((each) => plainText(each) ?? '') : [args.text(1)];
  let parts = [args.text(0)];
  for (const mark of separators) {
    if (mark === '') throw args.fail('a separator is empty');
    parts = parts.flatMap((part) => part.split(mark));
  }
  return parts;
}

/** Joins texts, or arrays when the first argument is one. */
function concat(args: Arguments): Json {
  if (isJsonList(args.value(0))) return args.all.flatMap((_, index) => args.list(index));
  return args.all.map((_, index) => args.plain(index)).join('');
}

function substring(args: Arguments): Json {
  const text = args.text(0);
  const start = args.all.length > 1 ? args.int(1) : 0;
  const length = args.all.length > 2 ? args.int(2) : text.length - start;
  if (start < 0 || length < 0 || start + length > text.length)
    throw args.fail(`start ${start} and length ${length} lie outside the text of ${text.length} characters`);
  return text.slice(start, start + length);
}

/** `{0}` stands for the first value, `{0:D3}` for it with three digits, `{{` for a brace. */
function format(args: Arguments): Json {
  let length = 0;
  const bounded = (text: string) => {
    length += text.length;
    if (length > maxLength) throw args.fail('the text becomes too long');
    return text;
  };
  return args.text(0).replace(/\{\{|\}\}|\{(\d{1,3})(?::([^{}]{0,20}))?\}|[{}]/g, (mark, index, form) => {
    if (mark === '{{' || mark === '}}') return mark.slice(1);
    if (index === undefined) throw args.fail(`'${mark}' stands alone; write it twice for the character itself`);
    const value = args.value(Number(index) + 1);
    return bounded(form === undefined ? (plainText(value) ?? JSON.stringify(value)) : formatted(args, value, form));
  });
}

function formatted(args: Arguments, value: Json, form: string): string {
  const [, kind = '', digits = '0'] = /^([dDxXnN])(\d{0,2})$/.exec(form) ?? [];
  if (kind === '' || typeof value !== 'number') throw args.fail(`the form '${form}' is not one of D, N, X for numbers`);
  const sign = value < 0 ? '-' : '';
  const number = Math.abs(value);
  switch (kind.toUpperCase()) {
    case 'D':
      return sign + String(number).padStart(Number(digits), '0');
    case 'X':
      return sign + number.toString(16).toUpperCase().padStart(Number(digits), '0');
    default:
      return value.toLocaleString('en-US', { minimumFractionDigits: Number(digits) });
  }
}

function parsed(args: Arguments, text: string): Json {
  try {
    const value: Json = JSON.parse(text);
    return value;
  } catch {
    throw args.fail('the text is not JSON');
  }
}

function uri(args: Arguments): Json {
  try {
    return new URL(args.text(1), args.text(0)).href;
  } catch {
    throw args.fail('the first argument is not an absolute address');
  }
}

function decodedUri(args: Arguments): Json {
  try {
    return decodeURIComponent(args.count(1).text(0));
  } catch {
    throw args.fail('the text is not percent-encoded');
  }
}
