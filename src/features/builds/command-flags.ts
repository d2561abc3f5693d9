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

/** `--name value`, `--name=value`, `-n value`, `-nvalue`. Throws what `wrong` makes of a sentence. */
export function readFlags(
  flags: readonly Flag[],
  words: readonly string[],
  wrong: (message: string) => BerthError,
): GivenFlags {
  const given = new Map<string, string[]>();
  const operands: string[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith('-') || word === '-') {
      operands.push(word);
      continue;
    }
    const found = flagOf(flags, word);
    if (found === undefined) throw wrong(`unknown flag or argument: ${word.slice(0, 100)}`);
    const { flag, attached } = found;
    const value = attached ?? (flag.kind === 'bool' ? 'true' : rest.shift());
    if (value === undefined) throw wrong(`flag needs an argument: --${flag.name}`);
    if (flag.kind === 'bool' && value !== 'true' && value !== 'false')
      throw wrong(`--${flag.name} is true or false, not '${value}'`);
    given.set(flag.name, [...(given.get(flag.name) ?? []), value]);
  }
  const last = (name: string) => given.get(name)?.at(-1);
  return { values: (name) => given.get(name) ?? [], last, isSet: (name) => last(name) === 'true', operands };
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
