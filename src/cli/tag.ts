import type { MovedTagsView, Release, TagDifferencesView } from '../wire/acr/tag-moves-schema.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes, type Given, jsonOption } from './command.ts';
import { table } from './table.ts';

const registryOption = { name: 'registry', meaning: 'of this registry (default: local)', value: 'NAME' };
const repository = { name: 'repository', meaning: 'repository of the registry' };

export const tagCommands: readonly Command[] = [
  {
    words: ['tag', 'diff'],
    purpose: 'show which tags of a repository pointed elsewhere at another time',
    operands: [repository],
    options: [
      { name: 'from', meaning: 'instant: 2030-01-31T12:00:00Z', value: 'INSTANT' },
      { name: 'to', meaning: 'instant (default: now)', value: 'INSTANT' },
      registryOption,
      jsonOption,
    ],
    run: async (context, given) => {
      const [from, to] = [given.option('from'), given.option('to')];
      if (from === undefined) return usage(context, '--from says since when');
      const client = await context.connect();
      const query = { repository: given.operand('repository'), from, ...(to === undefined ? {} : { to }) };
      const found = await client.tagDiff(given.option('registry') ?? 'local', query);
      return answer(context, given, found, differenceLines(found));
    },
  },
  {
    words: ['tag', 'rollback'],
    purpose: 'point the tags of a repository, or one, to where they pointed at an instant',
    operands: [repository],
    options: [
      { name: 'as-of', meaning: 'instant: 2030-01-31T12:00:00Z', value: 'INSTANT' },
      { name: 'tag', meaning: 'only this tag', value: 'TAG' },
      { name: 'dry-run', meaning: 'show what would be moved, and move nothing' },
      registryOption,
      jsonOption,
    ],
    run: async (context, given) => {
      const [asOf, tag] = [given.option('as-of'), given.option('tag')];
      if (asOf === undefined) return usage(context, '--as-of says to which instant');
      const client = await context.connect();
      const body = { asOf, dryRun: given.isSet('dry-run'), ...(tag === undefined ? {} : { tag }) };
      const moved = await client.tagRollback(given.option('registry') ?? 'local', given.operand('repository'), body);
      return answer(context, given, moved, movedLines(moved));
    },
  },
  {
    words: ['tag', 'release'],
    purpose: 'move tags of one or several repositories, all of them or none',
    operands: [
      {
        name: 'moves',
        meaning:
          'REPOSITORY:TAG=DIGEST, or none to take it away; -OLD behind it moves it only from there; separated by commas',
      },
    ],
    options: [registryOption, jsonOption],
    run: async (context, given) => {
      const moves = given.operand('moves').split(',').map(moveOf);
      if (moves.some((move) => move === undefined))
        return usage(context, 'a move is REPOSITORY:TAG=DIGEST or REPOSITORY:TAG=DIGEST-OLD, with none for no digest');
      const client = await context.connect();
      const body = { moves: moves.filter((move) => move !== undefined) };
      const moved = await client.tagRelease(given.option('registry') ?? 'local', body);
      return answer(context, given, moved, movedLines(moved));
    },
  },
];

/** Undefined for what is no move. Digests are looked at by the server. */
function moveOf(text: string): Release['moves'][number] | undefined {
  const [, repository, tag, to, from] = /^([^:=]+):([^:=]+)=([^-]+)(?:-([^-]+))?$/.exec(text) ?? [];
  if (repository === undefined || tag === undefined || to === undefined) return undefined;
  const digestOf = (word: string) => (word === 'none' ? null : word);
  return { repository, tag, digest: digestOf(to), ...(from === undefined ? {} : { expected: digestOf(from) }) };
}

function usage(context: CommandContext, text: string): ExitCode {
  context.complain(text);
  return exitCodes.usage;
}

function answer(context: CommandContext, given: Given, value: object, text: string): ExitCode {
  context.print(given.isSet('json') ? JSON.stringify(value, null, 2) : text);
  return exitCodes.done;
}

function differenceLines({ tags }: TagDifferencesView): string {
  if (tags.length === 0) return 'no tag pointed elsewhere';
  return table(
    ['TAG', 'FROM', 'TO'],
    tags.map(({ tag, from, to }) => [tag, from ?? 'none', to ?? 'none']),
  );
}

function movedLines({ moves }: MovedTagsView): string {
  if (moves.length === 0) return 'no tag pointed elsewhere';
  const rows = moves.map(({ repository, tag, digest, previous }) => [
    `${repository}:${tag}`,
    previous ?? 'none',
    digest ?? 'none',
  ]);
  return table(['TAG', 'FROM', 'TO'], rows);
}
