import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { registryPropertiesSchema } from '../../wire/arm/registry-schema.ts';
import type { Resource } from '../resources/resource.ts';
import { plainJson, propertiesOf } from './registry-rules.ts';

/** Something a registry keeps and shows, and nothing acts on yet. */
export type Unenforced = {
  /** Where it stands in `properties` of the registry. */
  readonly path: string;
  /** As people call it. */
  readonly setting: string;
  /** What is so in spite of the setting. */
  readonly until: string;
};

const nothingByItself = 'nothing is held back or refused';
const namesOnly = 'the names are shown, and content is sent by the login server';
const shownAsSet = 'shown as set';

/** All of them; a feature that acts on a setting takes its row away, here and in docs/guides/use-the-az-cli.md. */
export const unenforced: readonly Unenforced[] = [
  row('networkRuleSet.virtualNetworkRules', 'virtual network rules', 'addresses are let in by network rules alone'),
  row('networkRuleBypassAllowedForTasks', 'network bypass for tasks', 'trusted services decide it for all runs'),
  row('policies.quarantinePolicy.status', 'quarantine policy', nothingByItself),
  row('policies.trustPolicy.status', 'content trust policy', nothingByItself),
  row('policies.exportPolicy.status', 'export policy', nothingByItself),
  row('encryption.status', 'customer-managed key', 'content is stored as without one'),
  row('dataEndpointEnabled', 'data endpoints', namesOnly),
  row('regionalEndpoints', 'regional endpoints', namesOnly),
  row('endpointProtocol', 'IPv6', namesOnly),
  row('zoneRedundancy', 'zone redundancy', shownAsSet),
  row('metadataSearch', 'metadata search', shownAsSet),
  row('writableCacheRepos', 'writable cache repositories', shownAsSet),
];

const defaults = plainJson(registryPropertiesSchema.parse({}));

/** Those that a registry has set to something other than what a new one has. */
export function unenforcedOf(resource: Pick<Resource, 'name' | 'properties'>): readonly Unenforced[] {
  const current = plainJson(propertiesOf(resource));
  return unenforced.filter(({ path }) => textAt(current, path) !== textAt(defaults, path));
}

function textAt(object: JsonObject, path: string): string | undefined {
  let value: Json | undefined = object;
  for (const member of path.split('.')) value = isJsonObject(value) ? value[member] : undefined;
  return JSON.stringify(value);
}

function row(path: string, setting: string, until: string): Unenforced {
  return { path, setting, until };
}
