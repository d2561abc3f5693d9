import { buffer } from 'node:stream/consumers';
import { deserialize, serialize } from 'node:v8';
import { TaskError } from '../wire/tasks/task-error.ts';
import { type ParserRequest, parse } from './parsers.ts';
import { failureExitCode } from './run-failure.ts';

/** It goes into the memory of the agent. */
const maxResultBytes = 8 * 1024 * 1024;

// A program of its own: a request on standard input, its result on standard output, or the reason of a TaskError on standard error.
try {
  const result = serialize(await parse(requestOf(deserialize(await buffer(process.stdin)))));
  if (result.byteLength > maxResultBytes) throw new TaskError('it stands for more than 8 MiB');
  process.stdout.write(result);
} catch (cause) {
  if (!(cause instanceof TaskError)) throw cause;
  process.stderr.write(cause.message);
  process.exitCode = failureExitCode;
}

/** Whoever starts this program is `parseApart`, of the same sources: nobody else writes to it. */
function requestOf(value: unknown): ParserRequest {
  return value as ParserRequest;
}
