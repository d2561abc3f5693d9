import { resolve } from 'node:path';
import {
  type Command,
  type CommandContext,
  type ExitCode,
  exitCodes,
  type Given,
  type OfflineTask,
} from './command.ts';

/** What says where the data is. */
const dataSettings = ['config', 'data', 'database', 'blobs'];

/** Commands that work on the data itself, beside a server or while there is none. */
export const operateCommands: readonly Command[] = [
  {
    words: ['backup'],
    purpose:
      'copy database and blobs into a folder of backups, also while the server runs; what is there already stays',
    options: [
      { name: 'to', meaning: 'folder of the backups', value: 'FOLDER' },
      {
        name: 'to-blobs',
        meaning: 'where their blobs are, if not in that folder: s3://... or azure://...',
        value: 'URL',
      },
      { name: 'with-secrets', meaning: 'also master key, certificate authority and bootstrap.json' },
    ],
    settings: dataSettings,
    run: (context, given) =>
      withFolder(context, given, 'to', (folder) => ({
        kind: 'backup',
        folder,
        blobs: given.option('to-blobs'),
        withSecrets: given.isSet('with-secrets'),
      })),
  },
  {
    words: ['restore'],
    purpose: 'put a backup into an empty database and a store; the server is not running',
    options: [
      { name: 'from', meaning: 'folder of the backups', value: 'FOLDER' },
      { name: 'from-blobs', meaning: 'where their blobs are, if not in that folder', value: 'URL' },
      { name: 'snapshot', meaning: 'which one (default: the newest)', value: 'NAME' },
    ],
    settings: dataSettings,
    run: (context, given) =>
      withFolder(context, given, 'from', (folder) => ({
        kind: 'restore',
        folder,
        blobs: given.option('from-blobs'),
        snapshot: given.option('snapshot'),
      })),
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
      withFolder(context, given, 'from', (from) =>
        withOption(given, 'to', (to) => ({ kind: 'move', from, to: resolve(to) })),
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
    words: ['migrate-database'],
    purpose: 'bring the schema of the database up to date, without starting a server',
    settings: dataSettings,
    run: (context) => context.offline({ kind: 'migrateDatabase' }),
  },
];

async function withFolder(
  context: CommandContext,
  given: Given,
  name: string,
  taskOf: (path: string) => OfflineTask | string,
): Promise<ExitCode> {
  const task = withOption(given, name, (path) => taskOf(resolve(path)));
  if (typeof task !== 'string') return await context.offline(task);
  context.complain(`berth: ${task}`);
  return exitCodes.usage;
}

/** The task, or what is missing. */
function withOption(given: Given, name: string, taskOf: (value: string) => OfflineTask | string): OfflineTask | string {
  const value = given.option(name);
  return value === undefined ? `--${name} is needed` : taskOf(value);
}
