import { BerthError } from '../../core/errors.ts';
import type { BuiltInLine } from '../../wire/builds/agent-protocol.ts';
import { annotateFlags } from './annotate-words.ts';
import { annotate } from './built-in-annotate.ts';
import type { BuiltInParts, RunBuiltIn } from './built-in-call.ts';
import {
  type ContentCommand,
  contentFlags,
  manifestDelete,
  manifestList,
  tagDelete,
  tagList,
} from './built-in-content.ts';
import { runPurge } from './built-in-purge.ts';
import { login, loginFlags, logout } from './built-in-sign-in.ts';
import { asksForHelp, type Flag, flagNames, signInFlags } from './command-flags.ts';
import { purgeFlags } from './purge-words.ts';
import { reasonOf } from './run-standing.ts';

type Known = {
  readonly verbs: readonly string[];
  readonly run: ContentCommand;
  readonly flags: readonly Flag[];
  /** What stands behind the flags. */
  readonly operands?: string;
  /** What a line says first of what failed while it was done. */
  readonly failed: string;
};

const commands: readonly Known[] = [
  { verbs: ['purge'], run: runPurge, flags: purgeFlags, failed: 'Failed to complete purge' },
  { verbs: ['tag', 'list'], run: tagList, flags: contentFlags, failed: 'Error: failed to list tags' },
  {
    verbs: ['tag', 'delete'],
    run: tagDelete,
    flags: contentFlags,
    operands: 'TAG…',
    failed: 'Error: failed to delete tags',
  },
  { verbs: ['manifest', 'list'], run: manifestList, flags: contentFlags, failed: 'Error: failed to list manifests' },
  {
    verbs: ['manifest', 'delete'],
    run: manifestDelete,
    flags: contentFlags,
    operands: 'DIGEST…',
    failed: 'Error: failed to delete manifests',
  },
  { verbs: ['annotate'], run: annotate, flags: annotateFlags, failed: 'Error: failed to annotate' },
  { verbs: ['login'], run: login, flags: loginFlags, operands: 'REGISTRY', failed: 'Error' },
  { verbs: ['logout'], run: logout, flags: loginFlags, operands: 'REGISTRY', failed: 'Error' },
  { verbs: ['version'], run: version, flags: [], failed: 'Error' },
];

/** The commands of Azure's `acr` program that are done here. Source: ACR tasks, 5; Azure/acr-cli. */
export function createRunBuiltIn(parts: BuiltInParts): RunBuiltIn {
  return async function* (call) {
    const [program, ...given] = call.words;
    const words = withVerbFirst(given);
    const known = commands.find(({ verbs }) => program === 'acr' && verbs.every((verb, at) => verb === words[at]));
    const isHelp = asksForHelp(words) || words.length === 0 || words[0] === 'help';
    if (program === 'acr' && isHelp) {
      yield* known === undefined
        ? told(...commands.map(usageOf))
        : told(usageOf(known), `Flags: ${flagNames(known.flags)}`);
      return;
    }
    if (known === undefined) {
      yield { line: refusalOf(call.words) };
      yield { exitCode: 1 };
      return;
    }
    try {
      yield* known.run(parts, call, words.slice(known.verbs.length));
    } catch (error) {
      yield { line: `${isOfWords(error) ? 'Error' : known.failed}: ${reasonOf(parts.log, error)}` };
      yield { exitCode: 1 };
    }
  };
}

/** Why a command is not done, without its options: one may be a password. */
export function refusalOf(words: readonly string[]): string {
  const [verb = ''] = words.slice(1);
  const done = commands.map(({ verbs }) => `acr ${verbs.join(' ')}`).join(', ');
  const asked = (verb.startsWith('-') ? words.slice(0, 1) : words.slice(0, 2)).join(' ').slice(0, 200);
  return `'${asked}' is not done in a step: of acr this server does ${done}`;
}

function usageOf({ verbs, operands }: Known): string {
  return ['Usage: acr', ...verbs, '[flags]', ...(operands === undefined ? [] : [operands])].join(' ');
}

async function* told(...lines: readonly string[]): AsyncGenerator<BuiltInLine> {
  for (const line of lines) yield { line };
  yield { exitCode: 0 };
}

/** `acr version`: Azure's program tells its own; here no program is started. */
function version(): AsyncGenerator<BuiltInLine> {
  return told('Version: Berth, Revision: built in');
}

/** What every command takes may stand before it: `acr -r NAME purge`. */
function withVerbFirst(words: readonly string[]): readonly string[] {
  let at = 0;
  for (let word = words[0]; word !== undefined; word = words[at]) {
    const flag = signInFlags.find(({ name, letter }) => word.startsWith(`--${name}`) || word.startsWith(`-${letter}`));
    if (flag === undefined) break;
    at += word === `--${flag.name}` || word === `-${flag.letter}` ? 2 : 1;
  }
  return [...words.slice(at), ...words.slice(0, at)];
}

/** Whether it was asked for in a way that cannot be done. */
function isOfWords(error: unknown): boolean {
  return error instanceof BerthError && (error.error === 'requestInvalid' || error.error === 'purgeInvalid');
}
