import { isIP } from 'node:net';
import { Capture, ProgramError, runProgram } from '../program.ts';
import { Turns } from '../turns.ts';
import { programPath } from './user-cell.ts';

export type NameLookup = (name: string) => Promise<readonly string[]>;

/** Nobody knows the name, or no name server answers: getent does not tell these apart. */
const notFound = 2;
const usual = { program: ['getent', 'ahosts'], maxAtOnce: 8, timeoutMs: 10_000 };

/**
 * Looks names up as programs of this machine do, by one of them: our own look-ups take threads that all file and name work of
 * the agent shares, for as long as a name server does not answer. One cell waits for its own names alone. Throws Error with a
 * text for the person who asked. Source: getent(1).
 */
export function createNameLookup({ program, maxAtOnce, timeoutMs } = usual): NameLookup {
  const turns = new Turns(maxAtOnce);
  return async (name) =>
    isIP(name) === 0 ? await turns.take(() => looked([...program, name], name, timeoutMs)) : [name];
}

async function looked(words: readonly string[], name: string, timeoutMs: number): Promise<readonly string[]> {
  const output = new Capture();
  const late = AbortSignal.timeout(timeoutMs);
  try {
    // No name of a host begins so; it would be an option.
    if (name.startsWith('-')) return [];
    const code = await runProgram(words, {
      ...{ env: { PATH: programPath }, graceMs: 0, signal: late },
      onStdout: (chunk) => output.add(chunk),
    });
    if (code !== 0 && code !== notFound) throw new ProgramError(words[0] ?? '', code, '');
  } catch (cause) {
    if (late.aborted) throw new Error(`${name} was not found within ${timeoutMs / 1000} seconds`);
    throw cause;
  }
  const addresses = output
    .text()
    .split('\n')
    .map((line) => line.split(/\s/)[0] ?? '');
  return [...new Set(addresses)].filter((address) => isIP(address) !== 0);
}
