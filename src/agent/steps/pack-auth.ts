import type { RegistryCredential } from '../../wire/builds/agent-protocol.ts';
import { openOwnRegistry, ownServers } from '../own-servers.ts';
import { registryToken } from '../registry-token.ts';
import type { RunRoom } from '../run-room.ts';
import { loginsFor, type PackImages } from './pack-credentials.ts';

/** What a lifecycle signs in with, and for how long that is good; undefined: as long as the run. */
export type PackAuth = { readonly text: string; readonly lifetimeSeconds: number | undefined };

/**
 * What a builder is lent, in the form of its lifecycle. It is a program of whoever made the builder: in registries of the
 * installation it gets tokens for the repositories of these images alone. Throws RunFailure. Source: buildpacks platform
 * specification, "Registry Authentication".
 */
export async function packAuth(
  { order, clock, log }: RunRoom,
  images: PackImages,
  signal: AbortSignal,
): Promise<PackAuth> {
  const registry = openOwnRegistry(order, clock);
  const { protocol } = new URL(order.registryUrl);
  const headers = new Map<string, string>();
  const lifetimes: number[] = [];
  try {
    for (const { credential, scopes } of loginsFor(images, order.credentials, ownServers(order))) {
      if (scopes === undefined) {
        headers.set(credential.server, basicOf(credential));
        continue;
      }
      const bought = await registryToken({ registry, protocol, credential, scopes, signal });
      log.hide(bought.token);
      lifetimes.push(bought.lifetimeSeconds);
      headers.set(credential.server, `Bearer ${bought.token}`);
    }
  } finally {
    await registry.close();
  }
  const lifetimeSeconds = lifetimes.length === 0 ? undefined : Math.min(...lifetimes);
  return { text: JSON.stringify(Object.fromEntries(headers)), lifetimeSeconds };
}

function basicOf({ username, password }: RegistryCredential): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
