import assert from 'node:assert/strict';

/** Values of one server by their names: `subscriptionId`, `origin`, and those met on the way: `guid:1`, `secret:2`. */
export type Values = Map<string, string>;

const timePattern = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)/g;

/** What changes from server to server, by its form; the first that fits names it. `null`: not told apart. */
const volatile: readonly (readonly [kind: string, pattern: RegExp, isTold: boolean])[] = [
  // The first letters of a secret.
  ['hint', /(?<="hint":")[\w+-]{3}/, false],
  ['token', /eyJ[\w-]+\.[\w-]+\.[\w-]+|eyJ[\w-]{30,}/, true],
  ['guid', /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, true],
  ['time', timePattern, false],
  ['duration', /PT\d+\.\d+S/, false],
  ['operation', /(?<=\/operation(?:statuses|results)\/)[\w-]+/i, true],
  ['secret', /(?<![\w+/.-])[\w+-]{43,}(?![\w+/.-])/, true],
];

const placeholder = /\{([a-zA-Z]+(?::-?\d+)?)\}/g;
const dayMs = 24 * 3_600_000;

/** Writes the names of known values into what `az` sent; times become days from now. The rest is its own. */
export function requestWithNames(text: string, values: Values): string {
  return withKnownNames(text, values).replace(timePattern, (time) => {
    return `{days:${Math.round((Date.parse(time) - Date.now()) / dayMs)}}`;
  });
}

/** Writes the names of known and volatile values into what the server answered; new ones are numbered as they come. */
export function answerWithNames(text: string, values: Values): string {
  let named = withKnownNames(text, values);
  for (const [kind, pattern, isTold] of volatile) {
    named = named.replace(new RegExp(pattern, 'gi'), (value) => {
      if (!isTold) return `{${kind}}`;
      const name = `${kind}:${[...values.keys()].filter((each) => each.startsWith(`${kind}:`)).length + 1}`;
      values.set(name, value);
      return `{${name}}`;
    });
  }
  return named;
}

function withKnownNames(text: string, values: Values): string {
  const known = [...values].sort(([, a], [, b]) => b.length - a.length);
  return known.reduce((named, [name, value]) => named.replaceAll(value, `{${name}}`), text);
}

/** The text as this server needs it. */
export function withValues(text: string, values: Values): string {
  return text.replace(placeholder, (_, name: string) => {
    const [kind, number] = name.split(':');
    if (kind === 'days') return new Date(Date.now() + Number(number) * dayMs).toISOString();
    const value = values.get(name);
    assert.ok(value !== undefined, `no value is known for {${name}} in ${text}`);
    return value;
  });
}

/** Compares a text with a recorded one and keeps the values of names that are new. Answers whether it fits. */
export function fits(recorded: string, actual: string, values: Values): boolean {
  const learned: string[] = [];
  const parts = recorded.split(placeholder).map((part, index) => {
    if (index % 2 === 0) return RegExp.escape(part);
    const known = values.get(part);
    if (known !== undefined) return RegExp.escape(known);
    const [kind] = part.split(':');
    const pattern = kind === 'hint' ? '[\\w+-]{3}' : (volatile.find(([each]) => each === kind)?.[1].source ?? '(?!)');
    learned.push(part);
    return `(${pattern.replaceAll(/\((?!\?)/g, '(?:')})`;
  });
  const found = new RegExp(`^${parts.join('')}$`, 'i').exec(actual);
  if (found === null) return false;
  for (const [index, name] of learned.entries()) {
    const value = found[index + 1];
    if (value !== undefined && name.includes(':')) values.set(name, value);
  }
  return true;
}
