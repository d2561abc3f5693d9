import { plainJson, propertiesOf } from '../../features/registries/registry-rules.ts';
import { policyTimeOf } from '../../features/registries/registry-settling.ts';
import type { LoginServerOf } from '../../features/registries/registry-store.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { isoTime } from './resource-view.ts';

export type RegistryViewParts = { readonly loginServerOf: LoginServerOf; readonly domain: string };

/** The last version that knew virtual network rules. */
const lastWithVirtualNetworkRules = '2021-99';

/** `properties` of a registry. Source: az wire document, 2.4. */
export function registryProperties(parts: RegistryViewParts, resource: Resource, apiVersion: string): JsonObject {
  const { hostLabel, policies, networkRuleSet, encryption, ...stored } = propertiesOf(resource);
  const { virtualNetworkRules, ...rules } = networkRuleSet;
  const region = resource.location ?? '';
  return {
    loginServer: parts.loginServerOf(hostLabel),
    creationDate: isoTime(resource.createdAtMicros),
    provisioningState: resource.state,
    ...stored,
    encryption: plainJson(encryption),
    networkRuleSet: {
      ...rules,
      ...(apiVersion < lastWithVirtualNetworkRules || virtualNetworkRules.length > 0 ? { virtualNetworkRules } : {}),
    },
    policies: {
      ...policies,
      retentionPolicy: timed(resource, policies.retentionPolicy, 'retentionPolicy'),
      softDeletePolicy: timed(resource, policies.softDeletePolicy, 'softDeletePolicy'),
    },
    dataEndpointHostNames: stored.dataEndpointEnabled ? [`${hostLabel}.${region}.data.${parts.domain}`] : [],
    regionalEndpointHostNames:
      stored.regionalEndpoints === 'Enabled' ? [`${hostLabel}.${region}.geo.${parts.domain}`] : [],
    privateEndpointConnections: [],
  };
}

function timed({ properties, createdAtMicros }: Resource, policy: JsonObject, name: string): JsonObject {
  return {
    ...policy,
    lastUpdatedTime: isoTime(policyTimeOf(properties.policyTimes, name) ?? createdAtMicros),
  };
}
