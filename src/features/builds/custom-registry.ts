import { isClientId, type VaultSecret, vaultSecretAt } from '../../wire/tasks/vault-secret.ts';
import type { CustomRegistry } from './run.ts';

type Secret = WrittenSecret | null | undefined;
type WrittenSecret = { readonly type?: string | null | undefined; readonly value?: string | null | undefined };

/** How to sign in to a registry, as a request or a task has it. Source: ACR tasks, 4.6. */
export type WrittenRegistry = {
  readonly userName?: Secret;
  readonly password?: Secret;
  readonly identity?: string | null | undefined;
};

/** Without what only those know that have its identity. Addresses that are none of secrets are left out: `vaultFault` tells them. */
export function customRegistryOf(server: string, written: WrittenRegistry): CustomRegistry {
  const { identity } = written;
  const [username, password] = [plainText(written.userName), plainText(written.password)];
  const vault = vaultPartsOf(written);
  return {
    server,
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    ...(Object.keys(vault).length > 0 ? { vault } : {}),
    ...(identity ? { identity } : {}),
  };
}

/** What is wrong with the secrets of key vaults that it names; undefined if nothing is. */
export function vaultFault(server: string, { userName, password, identity }: WrittenRegistry): string | undefined {
  const ofVault = [userName, password].filter(isOfVault);
  if (ofVault.length === 0) return undefined;
  const wrong = ofVault.find((secret) => secret?.value && vaultSecretAt(secret.value) === undefined);
  if (wrong !== undefined)
    return `The credential of '${server}' has the type Vaultsecret, and a value that is not https://<vault>/secrets/<name>[/<version>].`;
  if (!identity || isSystem(identity) || isClientId(identity)) return undefined;
  return `The credential of '${server}' names secrets of a key vault, which are read as [system] or as the identity with a client id (a GUID), not as '${identity.slice(0, 100)}'.`;
}

export function namesVault({ userName, password }: WrittenRegistry): boolean {
  return isOfVault(userName) || isOfVault(password);
}

function vaultPartsOf({ userName, password, identity }: WrittenRegistry): NonNullable<CustomRegistry['vault']> {
  const clientId = identity && !isSystem(identity) ? identity : undefined;
  const at = (secret: Secret): VaultSecret | undefined =>
    isOfVault(secret) && secret?.value ? vaultSecretAt(secret.value, clientId) : undefined;
  const [username, word] = [at(userName), at(password)];
  return { ...(username && { username }), ...(word && { password: word }) };
}

function plainText(secret: Secret): string | undefined {
  return isOfVault(secret) ? undefined : (secret?.value ?? undefined);
}

function isSystem(identity: string): boolean {
  return identity.toLowerCase() === '[system]';
}

function isOfVault(secret: Secret): boolean {
  return secret?.type?.toLowerCase() === 'vaultsecret';
}
