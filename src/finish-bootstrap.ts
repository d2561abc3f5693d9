import { endpointsOf, loginServerOf } from './addresses.ts';
import { type Bootstrap, bootstrapSchema, readJsonIfThere, removeDurably, writeSecretJson } from './bootstrap-file.ts';
import type { DataFolder } from './data-folder.ts';
import type { AdminCredentials } from './features/identity/admin-account.ts';
import type { OwnerCredentials } from './features/identity/owner.ts';
import type { Installation } from './installation.ts';
import type { Settings } from './settings.ts';

export type FinishParts = {
  readonly settings: Settings;
  readonly folder: DataFolder;
  readonly installation: Installation;
  /** Known to the server that made the installation, until the file is written. */
  readonly owner: OwnerCredentials | undefined;
  readonly registry: AdminCredentials;
  readonly caPath: string;
};

/**
 * Writes bootstrap.json, at the first start and whenever an address or the registry's password has changed since.
 * Undefined on a server that neither made the installation nor was given its file: it does not know the owner's secrets.
 */
export async function finishBootstrap(parts: FinishParts): Promise<Bootstrap | undefined> {
  const { folder, installation } = parts;
  const written = readJsonIfThere(folder.bootstrap, bootstrapSchema);
  const owner = parts.owner ?? (written?.tenantId === installation.tenantId ? written.owner : undefined);
  if (owner === undefined) return undefined;
  const bootstrap = bootstrapOf(parts, owner);
  if (JSON.stringify(bootstrap) !== JSON.stringify(written)) writeSecretJson(folder.bootstrap, bootstrap);
  removeDurably(folder.unfinishedBootstrap);
  return bootstrap;
}

function bootstrapOf({ settings, installation, registry, caPath }: FinishParts, owner: OwnerCredentials): Bootstrap {
  const name = registry.userName;
  return {
    tenantId: installation.tenantId,
    subscriptionId: installation.subscriptionId,
    caCertificate: caPath,
    endpoints: endpointsOf(settings, name),
    owner: { ...owner },
    registry: {
      name,
      loginServer: loginServerOf(settings, name),
      username: name,
      password: registry.passwords[0]?.value ?? '',
    },
  };
}
