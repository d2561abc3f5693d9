import { BerthError } from '../../core/errors.ts';
import { parseRegistryName } from '../../core/registry-name.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { type Append, type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { type AdminAccountParts, writeAdminAccount } from '../identity/admin-account.ts';
import type { Directory } from './directory.ts';
import type { Registry, Sku } from './registry.ts';
import { insertRegistry, type NewRegistry, type RegistrySwitch, setSwitch } from './registry-store.ts';

export type RegistryRequest = {
  readonly tenantUid: string;
  /** As its creator spells it; checked here. */
  readonly name: string;
  readonly sku: Sku;
  readonly isAdminEnabled: boolean;
  readonly isAnonymousPullEnabled: boolean;
  /** Uid of who asked. */
  readonly actor: string;
};

export type SwitchChange = {
  readonly registryUid: string;
  readonly isOn: boolean;
  /** Uid of who asked. */
  readonly actor: string;
};

/** What can be done with the registries of one tenant; each change raises the access epoch and is journalled. */
export type Registries = {
  /** Throws `registryNameInvalid` or `registryNameTaken`. */
  readonly create: (request: Omit<RegistryRequest, 'tenantUid'>) => Promise<Registry>;
  /** Throws `registryUnknown`. */
  readonly setAdminEnabled: (change: SwitchChange) => Promise<Registry>;
  /** Throws `registryUnknown`. */
  readonly setAnonymousPull: (change: SwitchChange) => Promise<Registry>;
};

export type RegistriesParts = AdminAccountParts & {
  readonly journal: Journal;
  readonly directory: Directory;
  readonly tenantUid: string;
};

export function createRegistries(parts: RegistriesParts): Registries {
  const { journal, directory, tenantUid } = parts;
  const known = async (uid: string): Promise<Registry> => {
    await directory.refresh();
    const registry = directory.byUid(uid);
    if (registry === undefined) throw new BerthError('registryUnknown');
    return registry;
  };
  const change = async (name: RegistrySwitch, { registryUid, isOn, actor }: SwitchChange): Promise<Registry> => {
    await journal.transaction(async (tx, append) => {
      await raiseAccessEpoch(tx, tenantUid);
      const registry = await setSwitch(tx, { tenantUid, uid: registryUid }, { name, isOn });
      if (registry === undefined) throw new BerthError('registryUnknown');
      tell(append, 'registry.changed', registry, actor);
    });
    return await known(registryUid);
  };
  return {
    create: async (request) =>
      await known(
        await journal.transaction((tx, append) => writeRegistry(parts, tx, append, { ...request, tenantUid })),
      ),
    setAdminEnabled: (request) => change('isAdminEnabled', request),
    setAnonymousPull: (request) => change('isAnonymousPullEnabled', request),
  };
}

/**
 * Writes a registry with its admin account inside the caller's transaction, as the first start does; answers its uid.
 * Throws `registryNameInvalid` or `registryNameTaken`.
 */
export async function writeRegistry(
  parts: AdminAccountParts,
  tx: Transaction,
  append: Append,
  request: RegistryRequest,
): Promise<string> {
  const { actor, ...values } = request;
  const registry = { ...values, uid: parts.ids.uid(), name: parseRegistryName(request.name) };
  await raiseAccessEpoch(tx, registry.tenantUid);
  const isWritten = await insertRegistry(tx, registry, parts.clock.nowMicros());
  if (!isWritten) throw new BerthError('registryNameTaken', { name: registry.name });
  await writeAdminAccount(parts, tx, registry);
  tell(append, 'registry.created', registry, actor);
  return registry.uid;
}

function tell(append: Append, type: string, registry: NewRegistry, actor: string): void {
  append({ stream: tenantStreamOf(registry.tenantUid), type, version: 1, actor, data: registry });
}
