import { BerthError } from '../../core/errors.ts';
import { parsePurgeAge } from '../retention/purge-age.ts';
import { type PurgeFilter, parsePurgeFilter } from '../retention/purge-filter.ts';
import { type Flag, readFlags, signInFlags } from './command-flags.ts';

/** What `acr purge` was told. */
export type PurgeWords = {
  readonly filters: readonly PurgeFilter[];
  readonly ageMs: number;
  readonly keep: number;
  readonly untagged: 'none' | 'also' | 'only';
  readonly includesLocked: boolean;
  readonly isDryRun: boolean;
  /** The registry that it names; undefined for that of the run. */
  readonly registry: string | undefined;
  /** What it says first of values that it does not take as they are. */
  readonly notes: readonly string[];
};

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
  ...signInFlags,
];

/** Deletions go one by one here, so these say nothing. */
const maxConcurrency = 32;

/** Reads the words behind `acr purge`. Throws `purgeInvalid`. Source: ACR tasks, 5.1 to 5.3. */
export function parsePurgeWords(words: readonly string[]): PurgeWords {
  const { values, last: text, isSet, operands } = readFlags(flags, words, wrong);
  const [extra] = operands;
  if (extra !== undefined) throw wrong(`unknown flag or argument: ${extra.slice(0, 100)}`);
  const filters = values('filter');
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
    registry: text('registry'),
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

function wrong(message: string): BerthError {
  return new BerthError('purgeInvalid', message);
}
