import { changesUnderWayEnded } from '../../features/content/changes-under-way.ts';
import {
  type AdminAccountParts,
  regenerateAdminPassword,
  showAdminCredentials,
} from '../../features/identity/admin-account.ts';
import { registryType } from '../../features/registries/registry.ts';
import { changeRegistryIdentity, forgetRegistryIdentity } from '../../features/registries/registry-identity.ts';
import { clearRegistry, forgetRegistry, withdrawRegistry } from '../../features/registries/registry-removal.ts';
import { changeRegistryRows, createRegistryRows } from '../../features/registries/registry-rows.ts';
import { propertiesOf, skuOf, validateRegistry } from '../../features/registries/registry-rules.ts';
import { type SettlingParts, settleRegistry } from '../../features/registries/registry-settling.ts';
import type { LoginServerOf } from '../../features/registries/registry-store.ts';
import { skuLimits } from '../../features/registries/sku-limits.ts';
import { countChildren, ownStorageLimit, storedBytes } from '../../features/registries/usage.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import { regenerateSchema } from '../../wire/arm/registry-schema.ts';
import type { ArmAction, ArmType } from './arm-type.ts';
import { registryNameProblem } from './name-check.ts';
import { registryProperties } from './registry-view.ts';
import { generateCredentialsAction } from './token-type.ts';

export type RegistryTypeParts = AdminAccountParts &
  SettlingParts & {
    readonly database: Database;
    readonly store: BlobStore;
    readonly journal: Journal;
    readonly loginServerOf: LoginServerOf;
    readonly domain: string;
    /** Answers on localhost and has to stay. */
    readonly defaultRegistryName: string;
    /** Of features that this file does not know. */
    readonly moreActions?: Readonly<Record<string, ArmAction>>;
  };

/** Registries. Source: Microsoft.ContainerRegistry/registries. */
export function containerRegistryType(parts: RegistryTypeParts): ArmType {
  return {
    type: registryType,
    level: 'group',
    hasLocation: true,
    hasSystemData: true,
    checkName: (name) => {
      const problem = registryNameProblem(name);
      if (problem !== undefined) throw refuse('registryNameInvalid', { message: problem, target: 'name' });
    },
    validate: validateRegistry,
    settle: (tx, change) => settleRegistry(parts, tx, change),
    apply: async (writing, { resource, previous }) => {
      if (previous === undefined) await createRegistryRows(parts, writing.tx, resource);
      else await changeRegistryRows(writing.tx, resource);
      await changeRegistryIdentity(parts, writing, { resource, previous });
    },
    // Pushes that have read the policies of before end first.
    afterwards: ({ uid }) => changesUnderWayEnded(parts.database, parts.clock, uid),
    refuseRemoval: (resource) => {
      if (resource.name.toLowerCase() !== parts.defaultRegistryName.toLowerCase()) return;
      throw refuse('resourceNeeded', {
        message: `The registry '${resource.name}' answers on localhost and cannot be deleted.`,
        target: resource.id,
      });
    },
    withdraw: ({ tx }, resource) => withdrawRegistry(tx, resource),
    clear: (resource, job) => clearRegistry(parts, resource, job),
    forget: async (writing, resource) => {
      await forgetRegistryIdentity(writing, resource);
      await forgetRegistry(writing.tx, resource);
    },
    properties: (resource, apiVersion) => registryProperties(parts, resource, apiVersion),
    actions: {
      ...parts.moreActions,
      listcredentials: credentialsAction(parts),
      regeneratecredential: regenerateAction(parts),
      generatecredentials: generateCredentialsAction(parts),
      listusages: { method: 'GET', isChange: false, run: ({ resource }) => usages(parts, resource) },
      privatelinkresources: {
        method: 'GET',
        isChange: false,
        run: async ({ resource }) => ({ value: [privateLinkResource(parts, resource)] }),
      },
      // Lists that clients read beside every registry; nobody can make an entry yet.
      ...Object.fromEntries(['replications', 'privateendpointconnections'].map((word) => [word, emptyList])),
    },
  };
}

const emptyList: ArmAction = { method: 'GET', isChange: false, run: async () => ({ value: [] }) };

function credentialsAction(parts: RegistryTypeParts): ArmAction {
  return {
    method: 'POST',
    isChange: true,
    run: async ({ resource }) => {
      refuseWithoutAdmin(resource);
      return await credentials(parts, resource);
    },
  };
}

function regenerateAction(parts: RegistryTypeParts): ArmAction {
  return {
    method: 'POST',
    isChange: true,
    run: async ({ resource, body, author }) => {
      refuseWithoutAdmin(resource);
      const { name } = parseProperties(regenerateSchema, body, '');
      const { tenantUid, uid: registryUid } = resource;
      await regenerateAdminPassword(parts, parts.journal, { tenantUid, registryUid, name, actor: author.uid });
      return await credentials(parts, resource);
    },
  };
}

async function credentials(parts: RegistryTypeParts, { uid }: Resource) {
  const { userName, passwords } = await showAdminCredentials(parts, parts.database.read, uid);
  return { username: userName, passwords };
}

function refuseWithoutAdmin(resource: Resource): void {
  if (propertiesOf(resource).adminUserEnabled && resource.state === 'Succeeded') return;
  throw refuse('resourceInvalid', {
    message: `The admin user of the registry '${resource.name}' is disabled. Turn it on with az acr update --admin-enabled true.`,
    target: 'properties.adminUserEnabled',
  });
}

/** Source: ACR semantics, "Usage report". */
async function usages({ database }: RegistryTypeParts, resource: Resource) {
  const limits = skuLimits[skuOf(resource)];
  const children = await countChildren(database.read, resource.id);
  const { networkRuleSet } = propertiesOf(resource);
  const count = (name: string, limit: number, currentValue: number) => ({ name, limit, currentValue, unit: 'Count' });
  const child = (name: string, word: string) => count(name, limits.children[word] ?? -1, children.get(word) ?? 0);
  const isPremium = skuOf(resource) === 'Premium';
  const size = await storedBytes(database.read, resource.uid);
  const own = await ownStorageLimit(database.read, resource.uid);
  return {
    value: [
      { name: 'Size', limit: own ?? limits.includedBytes, currentValue: size, unit: 'Bytes' },
      child('Webhooks', 'webhooks'),
      ...(isPremium
        ? [
            // The home region counts as one.
            count('Geo-replications', -1, 1 + (children.get('replications') ?? 0)),
            count('IPRules', limits.ipRules, networkRuleSet.ipRules.length),
            count('VNetRules', limits.virtualNetworkRules, networkRuleSet.virtualNetworkRules.length),
            child('PrivateEndpointConnections', 'privateendpointconnections'),
          ]
        : []),
      child('ScopeMaps', 'scopemaps'),
      child('Tokens', 'tokens'),
    ],
  };
}

function privateLinkResource({ domain }: RegistryTypeParts, { id, location = '' }: Resource) {
  return {
    id: `${id}/privateLinkResources/registry`,
    name: 'registry',
    type: `${registryType}/privateLinkResources`,
    properties: {
      groupId: 'registry',
      requiredMembers: ['registry', `registry_data_${location}`],
      requiredZoneNames: [`privatelink.${domain}`],
    },
  };
}
