import type { PurgeOptions } from '../wire/admin/purge-schema.ts';
import type { Given, Option } from './command.ts';

/** What a person asked `berth purge` for, or what is wrong with it. */
export type PurgeAsked =
  | {
      readonly options: PurgeOptions;
      /** What is said first of values that are not taken as they are. */
      readonly notes: readonly string[];
    }
  | { readonly problem: string };

export const purgeOptions: readonly Option[] = [
  {
    name: 'filter',
    letter: 'f',
    meaning: 'REPOSITORY:TAG, regular expressions (RE2); may be given several times, or several separated by spaces',
    value: 'FILTER',
    repeats: true,
  },
  { name: 'ago', meaning: 'only what has not changed for so long: 30d, 2d3h6m', value: 'AGE' },
  { name: 'keep', meaning: 'keep the newest N of what would be deleted, per repository', value: 'N' },
  { name: 'untagged', meaning: 'then delete manifests without a tag too' },
  { name: 'untagged-only', meaning: 'delete no tags, only manifests without one' },
  { name: 'include-locked', meaning: 'unlock what is locked, and delete it' },
  { name: 'dry-run', meaning: 'show what would be deleted, and delete nothing' },
  {
    name: 'concurrency',
    meaning: 'at most N deletions at the same time, up to 32 (the server does one after the other)',
    value: 'N',
  },
  {
    name: 'filter-timeout-seconds',
    meaning: 'for scripts of acr purge: expressions here take no time that would need a limit',
    value: 'N',
  },
  {
    name: 'repository-page-size',
    meaning: 'for scripts of acr purge: the server does not read its repositories in pages',
    value: 'N',
  },
  { name: 'verbose', meaning: 'for scripts of acr purge: every item is told anyway' },
  { name: 'registry', letter: 'r', meaning: 'of this registry (default: local)', value: 'NAME' },
];

const maxConcurrency = 32;

/** Source: ACR Tasks reference, 5.1. */
export function purgeAsked(given: Given): PurgeAsked {
  const keep = given.option('keep') ?? '0';
  if (!/^\d{1,7}$/.test(keep)) return { problem: '--keep needs a number' };
  if (given.isSet('untagged') && given.isSet('untagged-only'))
    return { problem: '--untagged and --untagged-only exclude each other' };
  const notNumber = ['concurrency', 'filter-timeout-seconds', 'repository-page-size'].find(
    (name) => !/^-?\d{1,9}$/.test(given.option(name) ?? '1'),
  );
  if (notNumber !== undefined) return { problem: `--${notNumber} needs a number` };
  if (Number(given.option('repository-page-size') ?? 1) <= 0)
    return { problem: '--repository-page-size needs a number above 0' };
  const ago = given.option('ago');
  const options: PurgeOptions = {
    filters: given.options('filter').flatMap((each) => each.split(' ').filter((text) => text !== '')),
    ...(ago === undefined ? {} : { ago }),
    keep: Number(keep),
    untagged: given.isSet('untagged-only') ? 'only' : given.isSet('untagged') ? 'also' : 'none',
    includeLocked: given.isSet('include-locked'),
    dryRun: given.isSet('dry-run'),
  };
  return { options, notes: concurrencyNotes(Number(given.option('concurrency') ?? 1)) };
}

function concurrencyNotes(value: number): readonly string[] {
  if (value <= 0) return ['Specified concurrency value invalid. Set to default value: 1'];
  if (value > maxConcurrency) return [`Specified concurrency value too large. Set to maximum value: ${maxConcurrency}`];
  return [];
}
