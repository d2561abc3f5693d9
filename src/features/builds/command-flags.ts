import type { BerthError } from '../../core/errors.ts';

export type Flag = { readonly name: string; readonly letter?: string; readonly kind: 'text' | 'bool' };

/** What words say: every value of a flag, in order, and the words that are of no flag. */
export type GivenFlags = {
  readonly values: (name: string) => readonly string[];
  readonly last: (name: string) => string | undefined;
  readonly isSet: (name: string) => boolean;
  readonly operands: readonly string[];
};

/** Which every command of `acr` takes; the run is signed in, whatever they say. Source: ACR tasks, 5.1. */
export const signInFlags: readonly Flag[] = [
  { name: 'config', letter: 'c', kind: 'text' },
  { name: 'registry', letter: 'r', kind: 'text' },
  { name: 'username', letter: 'u', kind: 'text' },
  { name: 'password', letter: 'p', kind: 'text' },
];

/** Which answers what the command takes; nothing is done then. */
const helpFlag: Flag = { name: 'help', letter: 'h', kind: 'bool' };

/** As Go reads them. Source: strconv.ParseBool. */
const truths: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false] as const),
]);

/**
 * `--name value`, `--name=value`, `-n value`, `-nvalue`; behind `--` come words that are no flags. Throws what `wrong` makes of
 * a sentence. Source: spf13/pflag.
 */
export function readFlags(
  flags: readonly Flag[],
  words: readonly string[],
  wrong: (message: string) => BerthError,
): GivenFlags {
  const given = new Map<string, string[]>();
  const operands: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word === '--') {
      operands.push(...words.slice(at + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word);
      continue;
    }
    const found = flagOf(flags, word);
    if (found === undefined) throw wrong(unknownFlag(word));
    const { flag, attached } = found;
    if (attached === undefined && flag.kind === 'text') at += 1;
    const value = attached ?? (flag.kind === 'bool' ? 'true' : words[at]);
    if (value === undefined) throw wrong(`flag needs an argument: --${flag.name}`);
    if (flag.kind === 'bool' && !truths.has(value))
      throw wrong(`invalid argument "${value.slice(0, 100)}" for "--${flag.name}" flag: true or false is needed`);
    const values = given.get(flag.name);
    if (values === undefined) given.set(flag.name, [value]);
    else values.push(value);
  }
  const last = (name: string) => given.get(name)?.at(-1);
  const isSet = (name: string) => truths.get(last(name) ?? 'false') === true;
  return { values: (name) => given.get(name) ?? [], last, isSet, operands };
}

/** Whether the words ask for help. */
export function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return words.slice(0, end < 0 ? words.length : end).some((word) => word === '--help' || word === '-h');
}

/** The flags of a command, in the order of their names. */
export function flagNames(flags: readonly Flag[]): string {
  const shown = [...flags, helpFlag].map(
    ({ name, letter }) => `--${name}${letter === undefined ? '' : ` (-${letter})`}`,
  );
  return shown.toSorted().join(', ');
}

/** Without its value, which may be a password. */
function unknownFlag(word: string): string {
  if (!word.startsWith('--')) return `unknown shorthand flag: '${word.slice(1, 2)}'`;
  return `unknown flag: ${(word.split('=')[0] ?? '').slice(0, 100)}`;
}

function flagOf(
  flags: readonly Flag[],
  word: string,
): { readonly flag: Flag; readonly attached: string | undefined } | undefined {
  const [, long, longValue] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? [];
  const [, letter, shortValue] = /^-([a-z])(?:=?(.+))?$/s.exec(word) ?? [];
  const flag = flags.find((each) => each.name === long || (letter !== undefined && each.letter === letter));
  return flag && { flag, attached: long === undefined ? shortValue : longValue };
}
