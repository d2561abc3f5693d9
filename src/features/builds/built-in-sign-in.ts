import { BerthError } from '../../core/errors.ts';
import type { BuiltInLine } from '../../wire/builds/agent-protocol.ts';
import type { BuiltInCall, BuiltInParts } from './built-in-call.ts';
import { type Flag, readFlags, signInFlags } from './command-flags.ts';
import { isNamed, registryOf } from './run-standing.ts';

export const loginFlags: readonly Flag[] = [
  { name: 'debug', letter: 'd', kind: 'bool' },
  { name: 'password-stdin', kind: 'bool' },
  ...signInFlags,
];

/**
 * `acr login` and `acr logout`: a run is signed in from before its first step to its end, to its own registry and to those that
 * its task names. Throw `requestInvalid`, `denied`, `registryUnknown`. Source: Azure/acr-cli, cmd/acr; ACR tasks, 4.6.
 */
export async function* login(
  parts: BuiltInParts,
  call: BuiltInCall,
  words: readonly string[],
): AsyncGenerator<BuiltInLine> {
  const { operands, last } = readFlags(loginFlags, words, wrong);
  const server = serverOf(operands);
  await requireSignedIn(parts, call, server);
  if (last('username') !== undefined || last('password') !== undefined)
    yield { line: `The run stays signed in to ${server} with its own credentials: those given here are not used.` };
  yield { line: 'Login Succeeded' };
  yield { exitCode: 0 };
}

export async function* logout(
  _parts: BuiltInParts,
  _call: BuiltInCall,
  words: readonly string[],
): AsyncGenerator<BuiltInLine> {
  const server = serverOf(readFlags(loginFlags, words, wrong).operands);
  yield { line: `Nothing is done: the run stays signed in to ${server} until it ends, if it is.` };
  yield { exitCode: 0 };
}

function serverOf(operands: readonly string[]): string {
  const [server] = operands;
  if (server === undefined || operands.length > 1) throw wrong(`accepts 1 arg(s), received ${operands.length}`);
  return server.slice(0, 300);
}

async function requireSignedIn(parts: BuiltInParts, { run }: BuiltInCall, server: string): Promise<void> {
  const { registry, order } = await registryOf(parts, run);
  if (order?.customRegistries.some((each) => each.server.toLowerCase() === server.toLowerCase())) return;
  if (!isNamed(registry, server))
    throw wrong(
      `the run is not signed in to ${server}: it signs in before its first step, to what az acr task credential add names`,
    );
  if (order?.authority.kind === 'principal') return;
  throw new BerthError('denied', `the run was given no rights in ${server}: leave --auth-mode None out`);
}

function wrong(message: string): BerthError {
  return new BerthError('requestInvalid', message);
}
