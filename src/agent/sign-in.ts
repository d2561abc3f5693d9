import type { RegistryCredential } from '../wire/builds/agent-protocol.ts';
import { openOwnRegistry, ownServers } from './own-servers.ts';
import { registryToken } from './registry-token.ts';
import { RunFailure, reasonOf } from './run-failure.ts';
import type { RunRoom } from './run-room.ts';

/** Signs a run in to its registries before its first step, and says so. Throws RunFailure. Source: ACR tasks, 1.7. */
export async function signIn(room: RunRoom, signal: AbortSignal): Promise<void> {
  const { order, log } = room;
  log.say('Setting up Docker configuration...');
  log.say('Successfully set up Docker configuration');
  const own = ownServers(order);
  for (const credential of order.credentials) {
    const { server } = credential;
    log.say(`Logging in to registry: ${server}`);
    if (own.includes(server)) await signInToOwn(room, credential, signal);
    else await signInElsewhere(room, credential, signal);
    log.say(`Successfully logged into ${server}`);
  }
}

/** Asks the installation itself whether the credential is good: a builder takes a hundred times as long to ask the same. */
async function signInToOwn(
  { order, clock, executor }: RunRoom,
  credential: RegistryCredential,
  signal: AbortSignal,
): Promise<void> {
  const registry = openOwnRegistry(order, clock);
  try {
    const { protocol } = new URL(order.registryUrl);
    await registryToken({ registry, protocol, credential, scopes: [], signal });
  } finally {
    await registry.close();
  }
  executor.keepLogin(credential.server, credential.username, credential.password);
}

async function signInElsewhere(
  { executor, log }: RunRoom,
  { server, username, password }: RegistryCredential,
  signal: AbortSignal,
): Promise<void> {
  try {
    await executor.signIn(server, username, password, { output: log.output(), signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new RunFailure(`failed to login to ${server}: ${reasonOf(cause)}`, { cause });
  }
}
