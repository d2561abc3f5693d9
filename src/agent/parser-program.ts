import { buffer } from 'node:stream/consumers';
import { deserialize, serialize } from 'node:v8';
import { TaskError } from '../wire/tasks/task-error.ts';
import { type ParserName, type Parsers, parsedTexts, parserLoaders } from './parsers.ts';
import { failureExitCode } from './run-failure.ts';

/** It goes into the memory of the agent. */
const maxResultBytes = 8 * 1024 * 1024;

// A program of its own. Its word is the name of a parser, which it loads while it waits for the text on standard input; the result
// is on standard output, or the reason of a TaskError on standard error.
await read(nameOf(process.argv[2]));

async function read<Name extends ParserName>(name: Name): Promise<void> {
  const parse = await parserLoaders[name]();
  const input = inputOf<Name>(await buffer(process.stdin));
  try {
    const result = serialize(parse(input));
    if (result.byteLength > maxResultBytes) throw new TaskError(`${parsedTexts[name]} stands for more than 8 MiB`);
    process.stdout.write(result);
  } catch (cause) {
    // Any other is what a text has led to, such as a map that holds itself: its words are nothing to whoever wrote it.
    const what = `${parsedTexts[name]} stands for what cannot be worked out`;
    process.stderr.write(cause instanceof TaskError ? cause.message : what);
    process.exitCode = failureExitCode;
  }
}

function nameOf(word: string | undefined): ParserName {
  const isName = (text: string | undefined): text is ParserName => text !== undefined && text in parserLoaders;
  if (isName(word)) return word;
  throw new TypeError(`there is no parser ${word}`);
}

/** Whoever starts this program is `startParser`, of the same sources: nobody else writes to it. */
function inputOf<Name extends ParserName>(bytes: Uint8Array): Parsers[Name]['input'] {
  return deserialize(bytes) as Parsers[Name]['input'];
}
