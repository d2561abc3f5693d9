import { resolve } from 'node:path';
import {
  type Command,
  type CommandContext,
  type ExitCode,
  exitCodes,
  type Given,
  jsonOption,
  type OfflineTask,
} from './command.ts';

/** What says where the data is. */
const dataSettings = ['config', 'data', 'database', 'blobs'];

/** Commands that work on the data itself, beside a server or while there is none. */
export const operateCommands: readonly Command[] = [
  {
    words: ['backup'],
    purpose:
      'copy database and blobs to a folder or an object store, also while the server runs; what is there already stays',
    options: [
      { name: 'to', meaning: 'folder of the backups, or s3://... or azure://...', value: 'PLACE' },
      { name: 'keep', meaning: 'keep so many of the newest snapshots and remove older ones', value: 'COUNT' },
      {
        name: 'to-blobs',
        meaning: 'where their blobs are, if not in that place: s3://... or azure://...',
        value: 'URL',
      },
      { name: 'with-secrets', meaning: 'also master key, certificate authority and bootstrap.json' },
    ],
    settings: dataSettings,
    run: (context, given) =>
      withTask(
        context,
        withOption(given, 'to', (to) =>
          withCount(given, 'keep', (keep) => ({
            kind: 'backup',
            to: placeOf(to),
            blobs: given.option('to-blobs'),
            withSecrets: given.isSet('with-secrets'),
            keep,
          })),
        ),
      ),
  },
  {
    words: ['restore'],
    purpose: 'put a backup into an empty database and a store; the server is not running',
    options: [
      { name: 'from', meaning: 'folder of the backups, or s3://... or azure://...', value: 'PLACE' },
      { name: 'from-blobs', meaning: 'where their blobs are, if not in that place', value: 'URL' },
      { name: 'snapshot', meaning: 'which one (default: the newest)', value: 'NAME' },
    ],
    settings: dataSettings,
    run: (context, given) =>
      withTask(
        context,
        withOption(given, 'from', (from) => ({
          kind: 'restore',
          from: placeOf(from),
          blobs: given.option('from-blobs'),
          snapshot: given.option('snapshot'),
        })),
      ),
  },
  {
    words: ['move'],
    purpose: 'copy an installation to another database and store; the source goes on serving',
    options: [
      { name: 'from', meaning: 'settings file of the source', value: 'FILE' },
      { name: 'to', meaning: 'settings file of the target', value: 'FILE' },
    ],
    settings: [],
    run: (context, given) =>
      withTask(
        context,
        withOption(given, 'from', (from) =>
          withOption(given, 'to', (to) => ({ kind: 'move', from: resolve(from), to: resolve(to) })),
        ),
      ),
  },
  {
    words: ['rebuild'],
    purpose:
      'make repositories, manifests and tags again from the blob store alone, where database and backups are lost',
    settings: dataSettings,
    run: (context) => context.offline({ kind: 'rebuild' }),
  },
  {
    words: ['fsck'],
    purpose:
      'compare database and blob store both ways, also while the server runs; exit code 1 when something is wrong',
    options: [
      {
        name: 'repair',
        meaning: 'put right what can be without losing anything; the embedded database needs its server stopped',
      },
      { name: 'force', meaning: 'with --repair: also where more than a tenth of the blobs are missing' },
      jsonOption,
    ],
    settings: dataSettings,
    run: (context, given) =>
      context.offline({
        kind: 'fsck',
        repairs: given.isSet('repair'),
        force: given.isSet('force'),
        json: given.isSet('json'),
      }),
  },
  {
    words: ['migrate-database'],
    purpose: 'bring the schema of the database up to date, without starting a server',
    settings: dataSettings,
    run: (context) => context.offline({ kind: 'migrateDatabase' }),
  },
];

/** Runs the task, or says what is wrong with what was given. */
async function withTask(context: CommandContext, task: OfflineTask | string): Promise<ExitCode> {
  if (typeof task !== 'string') return await context.offline(task);
  context.complain(`berth: ${task}`);
  return exitCodes.usage;
}

/** An object store by its address, anything else by its path. */
function placeOf(text: string): string {
  return text.includes('://') ? text : resolve(text);
}

function withCount(
  given: Given,
  name: string,
  taskOf: (value: number | undefined) => OfflineTask,
): OfflineTask | string {
  const text = given.option(name);
  if (text === undefined) return taskOf(undefined);
  return /^[1-9]\d{0,4}$/.test(text) ? taskOf(Number(text)) : `--${name} is a number from 1 to 99999`;
}

/** The task, or what is missing. */
function withOption(given: Given, name: string, taskOf: (value: string) => OfflineTask | string): OfflineTask | string {
  const value = given.option(name);
  return value === undefined ? `--${name} is needed` : taskOf(value);
}
