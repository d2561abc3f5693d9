import { BerthError } from '../../core/errors.ts';
import { type PurgeFilter, parsePurgeFilters } from '../retention/purge-filter.ts';
import { type Flag, readFlags, signInFlags } from './command-flags.ts';
import { csvFields } from './csv-fields.ts';
import { concurrencyNotes } from './purge-words.ts';

/** What `acr annotate` was told. */
export type AnnotateWords = {
  readonly filters: readonly PurgeFilter[];
  readonly artifactType: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Whether manifests without tags are annotated too. */
  readonly takesUntagged: boolean;
  readonly includesLocked: boolean;
  readonly isDryRun: boolean;
  readonly registry: string | undefined;
  readonly notes: readonly string[];
};

export const annotateFlags: readonly Flag[] = [
  { name: 'filter', letter: 'f', kind: 'text' },
  { name: 'artifact-type', kind: 'text' },
  { name: 'annotations', letter: 'a', kind: 'text' },
  { name: 'untagged', kind: 'bool' },
  { name: 'dry-run', kind: 'bool' },
  { name: 'include-locked', kind: 'bool' },
  { name: 'concurrency', kind: 'text' },
  { name: 'filter-timeout-seconds', kind: 'text' },
  ...signInFlags,
];

/** Reads the words behind `acr annotate`. Throws `purgeInvalid` for a filter, else `requestInvalid`. Source: Azure/acr-cli, cmd/acr. */
export function parseAnnotateWords(words: readonly string[]): AnnotateWords {
  const { values, last, isSet, operands } = readFlags(annotateFlags, words, wrong);
  const [extra] = operands;
  if (extra !== undefined) throw wrong(`unknown argument: ${extra.slice(0, 100)}`);
  const missing = ['annotations', 'artifact-type', 'filter'].filter((name) => !last(name));
  if (missing.length > 0)
    throw wrong(`required flag(s) ${missing.map((name) => JSON.stringify(name)).join(', ')} not set`);
  return {
    filters: parsePurgeFilters(values('filter')),
    artifactType: last('artifact-type') ?? '',
    annotations: Object.fromEntries(values('annotations').flatMap(pairsOf)),
    takesUntagged: isSet('untagged'),
    includesLocked: isSet('include-locked'),
    isDryRun: isSet('dry-run'),
    registry: last('registry'),
    notes: concurrencyNotes(last('concurrency')),
  };
}

function pairsOf(text: string): [name: string, value: string][] {
  const fields = csvFields(text);
  if (fields === undefined)
    throw wrong(
      `quotes of '${text.slice(0, 100)}' do not fit: a value with commas is "NAME=VALUE", in quotes as a whole`,
    );
  return fields.map(pairOf);
}

function pairOf(text: string): [name: string, value: string] {
  const at = text.indexOf('=');
  if (at < 1) throw wrong(`annotation is not a key-value pair: '${text.slice(0, 100)}'; write NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function wrong(message: string): BerthError {
  return new BerthError('requestInvalid', message);
}
