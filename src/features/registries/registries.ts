import { BerthError } from '../../core/errors.ts';
import { parseRegistryName } from '../../core/registry-name.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { type Append, type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import { registryPropertiesSchema } from '../../wire/arm/registry-schema.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import type { AdminAccountParts } from '../identity/admin-account.ts';
import { homeGroup } from '../resources/home-group.ts';
import { refuseLocked } from '../resources/locks.ts';
import { refuse } from '../resources/refuse.ts';
import type { Author, Resource } from '../resources/resource.ts';
import { tellResource } from '../resources/resource-events.ts';
import { memberName } from '../resources/resource-names.ts';
import { findMember, insertResource, updateResource } from '../resources/resource-store.ts';
import type { Directory } from './directory.ts';
import { hostLabelOf } from './host-label.ts';
import { type Registry, registryType, type Sku } from './registry.ts';
import { changeRegistryRows, createRegistryRows, takenMessage } from './registry-rows.ts';
import { plainJson, validateRegistry } from './registry-rules.ts';
import { type OwnLimits, updateOwnLimits } from './registry-store.ts';

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

/** What is left out stays. */
export type LimitsChange = OwnLimits & {
  readonly registryUid: string;
  /** Uid of who asked. */
  readonly actor: string;
};

/**
 * What can be done with the registries of one tenant without naming a group; each change raises the access epoch and is
 * journalled.
 */
export type Registries = {
  /** Throws `registryNameInvalid`, `registryNameTaken` or `skuTooSmall`. */
  readonly create: (request: Omit<RegistryRequest, 'tenantUid'>) => Promise<Registry>;
  /** Throws `registryUnknown` or `scopeLocked`. */
  readonly setAdminEnabled: (change: SwitchChange) => Promise<Registry>;
  /** Throws `registryUnknown`, `scopeLocked` or `skuTooSmall`. */
  readonly setAnonymousPull: (change: SwitchChange) => Promise<Registry>;
  /** Changes what is no part of the resource. Throws `registryUnknown` or `scopeLocked`. */
  readonly setLimits: (change: LimitsChange) => Promise<Registry>;
};

export type RegistriesParts = AdminAccountParts & {
  readonly journal: Journal;
  readonly directory: Directory;
  readonly tenantUid: string;
};

export function createRegistries(parts: RegistriesParts): Registries {
  const { journal, directory, tenantUid, clock, ids } = parts;
  const known = async (uid: string): Promise<Registry> => {
    await directory.refresh();
    const registry = directory.byUid(uid);
    if (registry === undefined) throw new BerthError('registryUnknown');
    return registry;
  };
  const changeable = async (tx: Transaction, uid: string): Promise<Resource> => {
    const existing = await findMember(tx, { tenantUid, uid, type: registryType });
    if (existing?.state !== 'Succeeded') throw new BerthError('registryUnknown');
    await refuseLocked(tx, tenantUid, existing, 'write');
    return existing;
  };
  const change = async (
    name: 'adminUserEnabled' | 'anonymousPullEnabled',
    { registryUid, isOn, actor }: SwitchChange,
  ): Promise<Registry> => {
    await journal.transaction(async (tx, append) => {
      const existing = await changeable(tx, registryUid);
      const desired = { ...existing, properties: { ...existing.properties, [name]: isOn } };
      const valid = validateRegistry({ name: existing, desired, existing });
      const resource: Resource = {
        ...existing,
        properties: { ...existing.properties, ...valid.properties },
        etag: ids.guid(),
        changedAtMicros: clock.nowMicros(),
        changedBy: authorOf(actor),
      };
      await updateResource(tx, resource);
      await changeRegistryRows(tx, resource);
      tellResource(append, 'resource.updated', resource);
    });
    return await known(registryUid);
  };
  const setLimits = async ({ registryUid, actor, ...limits }: LimitsChange): Promise<Registry> => {
    await journal.transaction(async (tx, append) => {
      const { uid, name } = await changeable(tx, registryUid);
      await raiseAccessEpoch(tx, tenantUid);
      const data = { uid, name, ...(await updateOwnLimits(tx, uid, limits)) };
      append({ stream: tenantStreamOf(tenantUid), type: 'registry.limitsUpdated', version: 1, actor, data });
    });
    return await known(registryUid);
  };
  return {
    create: async (request) =>
      await known(
        await journal.transaction((tx, append) => writeRegistry(parts, tx, append, { ...request, tenantUid })),
      ),
    setAdminEnabled: (request) => change('adminUserEnabled', request),
    setAnonymousPull: (request) => change('anonymousPullEnabled', request),
    setLimits,
  };
}

/**
 * Writes a registry with its admin account inside the caller's transaction, into the installation's own group, as the first
 * start does; answers its uid. Throws `registryNameInvalid`, `registryNameTaken` or `skuTooSmall`.
 */
export async function writeRegistry(
  parts: AdminAccountParts,
  tx: Transaction,
  append: Append,
  request: RegistryRequest,
): Promise<string> {
  const { clock, ids } = parts;
  const { tenantUid } = request;
  const registryName = parseRegistryName(request.name);
  const author = authorOf(request.actor);
  const group = await homeGroup(parts, tx, append, { tenantUid, author });
  const name = memberName(group, registryType, registryName);
  const properties = registryPropertiesSchema.parse({
    adminUserEnabled: request.isAdminEnabled,
    anonymousPullEnabled: request.isAnonymousPullEnabled,
  });
  const asked = { name: request.sku };
  const desired = validateRegistry({
    name,
    desired: { location: group.location, tags: {}, sku: asked, identity: undefined, properties: plainJson(properties) },
    existing: undefined,
  });
  const owner = { name: registryName, tenantUid, subscriptionId: name.subscriptionId, groupName: group.name };
  const nowMicros = clock.nowMicros();
  const resource: Resource = {
    ...name,
    ...desired,
    properties: { ...desired.properties, hostLabel: hostLabelOf('Unsecure', owner, ids) },
    uid: ids.uid(),
    tenantUid,
    state: 'Succeeded',
    etag: ids.guid(),
    createdAtMicros: nowMicros,
    createdBy: author,
    changedAtMicros: nowMicros,
    changedBy: author,
  };
  if (!(await insertResource(tx, resource))) {
    throw refuse('registryNameTaken', { message: takenMessage(registryName), target: registryName });
  }
  await createRegistryRows(parts, tx, resource);
  tellResource(append, 'resource.created', resource);
  return resource.uid;
}

/** The admin API knows its callers by uid. */
function authorOf(actor: string): Author {
  return { uid: actor, name: actor, kind: 'Application' };
}
