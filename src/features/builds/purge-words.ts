import { BerthError } from '../../core/errors.ts';
import { parsePurgeAge } from '../retention/purge-age.ts';
import { type PurgeFilter, parsePurgeFilter } from '../retention/purge-filter.ts';

/** What `acr purge` was told. */
export type PurgeWords = {
  readonly filters: readonly PurgeFilter[];
  readonly ageMs: number;
  readonly keep: number;
  readonly untagged: 'none' | 'also' | 'only';
  readonly includesLocked: boolean;
  readonly isDryRun: boolean;
  /** What it says first of values that it does not take as they are. */
  readonly notes: readonly string[];
};

type Flag = { readonly name: string; readonly letter?: string; readonly kind: 'text' | 'bool' };

const flags: readonly Flag[] = [
  { name: 'filter', letter: 'f', kind: 'text' },
  { name: 'ago', kind: 'text' },
  { name: 'keep', kind: 'text' },
  { name: 'untagged', kind: 'bool' },
  { name: 'untagged-only', kind: 'bool' },
  { name: 'dry-run', kind: 'bool' },
  { name: 'include-locked', kind: 'bool' },
  { name: 'concurrency', kind: 'text' },
  { name: 'filter-timeout-seconds', kind: 'text' },
  { name: 'repository-page-size', kind: 'text' },
  { name: 'verbose', kind: 'bool' },
  { name: 'config', letter: 'c', kind: 'text' },
  // The registry of the run, and its rights, whatever these say: as the environment of a task does.
  { name: 'registry', letter: 'r', kind: 'text' },
  { name: 'username', letter: 'u', kind: 'text' },
  { name: 'password', letter: 'p', kind: 'text' },
];

/** Deletions go one by one here, so these say nothing. */
const maxConcurrency = 32;

/** Reads the words behind `acr purge`. Throws `purgeInvalid`. Source: ACR tasks, 5.1 to 5.3. */
export function parsePurgeWords(words: readonly string[]): PurgeWords {
  const given = readFlags(words);
  const isSet = (name: string) => given.get(name)?.at(-1) === 'true';
  const text = (name: string) => given.get(name)?.at(-1);
  const filters = given.get('filter') ?? [];
  if (isSet('untagged') && isSet('untagged-only'))
    throw wrong('--untagged and --untagged-only exclude each other: give one of them');
  const isOnly = isSet('untagged-only');
  if (!isOnly && filters.length === 0) throw wrong('required flag(s) "filter" not set');
  if (!isOnly && text('ago') === undefined) throw wrong('required flag(s) "ago" not set');
  const ago = text('ago');
  return {
    filters: filters.map(parsePurgeFilter),
    ageMs: ago === undefined ? 0 : parsePurgeAge(ago),
    keep: wholeNumber('keep', text('keep') ?? '0'),
    untagged: isOnly ? 'only' : isSet('untagged') ? 'also' : 'none',
    includesLocked: isSet('include-locked'),
    isDryRun: isSet('dry-run'),
    notes: concurrencyNotes(text('concurrency')),
  };
}

function concurrencyNotes(text: string | undefined): string[] {
  const value = text === undefined ? 1 : Number(/^-?\d{1,9}$/.test(text) ? text : Number.NaN);
  if (Number.isNaN(value)) throw wrong(`--concurrency needs a number, not '${text}'`);
  if (value <= 0) return ['Specified concurrency value invalid. Set to default value: 1'];
  if (value > maxConcurrency) return [`Specified concurrency value too large. Set to maximum value: ${maxConcurrency}`];
  return [];
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw wrong(`--${name} needs a whole number, not '${text}'`);
  return Number(text);
}

/** `--name value`, `--name=value`, `-n value`, `-nvalue`; every value of a flag, in order. */
function readFlags(words: readonly string[]): Map<string, string[]> {
  const given = new Map<string, string[]>();
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const { flag, attached } = flagOf(word);
    const value = attached ?? (flag.kind === 'bool' ? 'true' : rest.shift());
    if (value === undefined) throw wrong(`flag needs an argument: --${flag.name}`);
    if (flag.kind === 'bool' && value !== 'true' && value !== 'false')
      throw wrong(`--${flag.name} is true or false, not '${value}'`);
    given.set(flag.name, [...(given.get(flag.name) ?? []), value]);
  }
  return given;
}

function flagOf(word: string): { readonly flag: Flag; readonly attached: string | undefined } {
  const [, long, longValue] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? [];
  const [, letter, shortValue] = /^-([a-z])(?:=?(.+))?$/s.exec(word) ?? [];
  const flag = flags.find((each) => each.name === long || (letter !== undefined && each.letter === letter));
  if (flag === undefined) throw wrong(`unknown flag or argument: ${word.slice(0, 100)}`);
  return { flag, attached: long === undefined ? shortValue : longValue };
}

function wrong(message: string): BerthError {
  return new BerthError('purgeInvalid', message);
}
