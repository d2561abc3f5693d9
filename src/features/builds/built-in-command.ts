import type { BuiltInParts, RunBuiltIn } from './built-in-call.ts';
import { type ContentCommand, manifestDelete, manifestList, tagDelete, tagList } from './built-in-content.ts';
import { runPurge } from './built-in-purge.ts';
import { reasonOf } from './run-standing.ts';

type Known = { readonly verbs: readonly string[]; readonly run: ContentCommand; readonly failed: string };

const commands: readonly Known[] = [
  { verbs: ['purge'], run: runPurge, failed: 'Failed to complete purge' },
  { verbs: ['tag', 'list'], run: tagList, failed: 'Error: failed to list tags' },
  { verbs: ['tag', 'delete'], run: tagDelete, failed: 'Error: failed to delete tags' },
  { verbs: ['manifest', 'list'], run: manifestList, failed: 'Error: failed to list manifests' },
  { verbs: ['manifest', 'delete'], run: manifestDelete, failed: 'Error: failed to delete manifests' },
];

/** Why others are not done, by their first word. */
const refused: ReadonlyMap<string, string> = new Map(
  ['login', 'logout'].map((verb) => [
    verb,
    'a run is signed in to its registries before its first step: others are added with az acr task credential add',
  ]),
);

/** The commands of Azure's `acr` program that are done here. Source: ACR tasks, 5; Azure/acr-cli. */
export function createRunBuiltIn(parts: BuiltInParts): RunBuiltIn {
  return async function* (call) {
    const [program, ...words] = call.words;
    const known = commands.find(({ verbs }) => program === 'acr' && verbs.every((verb, at) => verb === words[at]));
    if (known === undefined) {
      yield { line: refusalOf(call.words) };
      yield { exitCode: 1 };
      return;
    }
    try {
      yield* known.run(parts, call, words.slice(known.verbs.length));
    } catch (error) {
      yield { line: `${known.failed}: ${reasonOf(parts.log, error)}` };
      yield { exitCode: 1 };
    }
  };
}

/** Why a command is not done, without its options: one may be a password. */
export function refusalOf(words: readonly string[]): string {
  const [verb = ''] = words.slice(1);
  const done = commands.map(({ verbs }) => `acr ${verbs.join(' ')}`).join(', ');
  const asked = (verb.startsWith('-') ? words.slice(0, 1) : words.slice(0, 2)).join(' ').slice(0, 200);
  return `'${asked}' is not done in a step: ${refused.get(verb) ?? `of acr this server does ${done}`}`;
}
