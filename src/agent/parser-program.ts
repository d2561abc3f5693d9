import { buffer } from 'node:stream/consumers';
import { deserialize, serialize } from 'node:v8';
import { TaskError } from '../wire/tasks/task-error.ts';
import { loadParser, type ParserRequest, parsedTexts } from './parsers.ts';
import { failureExitCode } from './run-failure.ts';

/** It goes into the memory of the agent. */
const maxResultBytes = 8 * 1024 * 1024;

// A program of its own: a request on standard input, its result on standard output, or the reason of a TaskError on standard error.
const request = requestOf(deserialize(await buffer(process.stdin)));
const parse = await loadParser(request);
const what = parsedTexts[request.name];
try {
  const result = serialize(parse());
  if (result.byteLength > maxResultBytes) throw new TaskError(`${what} stands for more than 8 MiB`);
  process.stdout.write(result);
} catch (cause) {
  // Any other is what a text has led to, such as a map that holds itself: its words are nothing to whoever wrote it.
  process.stderr.write(cause instanceof TaskError ? cause.message : `${what} stands for what cannot be worked out`);
  process.exitCode = failureExitCode;
}

/** Whoever starts this program is `parseApart`, of the same sources: nobody else writes to it. */
function requestOf(value: unknown): ParserRequest {
  return value as ParserRequest;
}
