import type { Location } from '../../features/resources/locations.ts';
import { subscriptionPath } from '../../features/resources/resource-names.ts';
import type { Subscription } from '../../features/resources/subscription-store.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';

/** `GET /tenants`. Source: az wire document, 1.8. */
export function tenantView(tenantId: string, domain: string): JsonObject {
  return { id: `/tenants/${tenantId}`, tenantId, displayName: 'Berth', defaultDomain: domain, tenantCategory: 'Home' };
}

/** `GET /subscriptions/{id}`. */
export function subscriptionView({ subscriptionId, displayName }: Subscription, tenantId: string): JsonObject {
  return {
    id: subscriptionPath(subscriptionId),
    subscriptionId,
    tenantId,
    displayName,
    state: 'Enabled',
    subscriptionPolicies: { locationPlacementId: 'Public', quotaId: 'Berth', spendingLimit: 'Off' },
    authorizationSource: 'RoleBased',
    managedByTenants: [],
  };
}

/** `GET /subscriptions/{id}/locations`. */
export function locationView({ name, displayName }: Location, subscriptionId: string): JsonObject {
  return {
    id: `${subscriptionPath(subscriptionId)}/locations/${name}`,
    name,
    displayName,
    regionalDisplayName: displayName,
    type: 'Region',
    metadata: { regionType: 'Physical', regionCategory: 'Recommended', geographyGroup: 'Berth' },
  };
}

/** Versions that clients choose from when they have none of their own; any other one is accepted too. */
const shownVersions = ['2026-01-01-preview', '2025-11-01', '2025-04-01', '2023-07-01', '2022-12-01', '2021-04-01'];

/** The namespaces of the installation with their types. Source: Microsoft.Resources/providers. */
export function providerViews(
  types: readonly ArmType[],
  locations: readonly Location[],
  subscriptionId: string | undefined,
): JsonObject[] {
  const byNamespace = Map.groupBy(types, ({ type }) => type.slice(0, type.indexOf('/')));
  return [...byNamespace].map(([namespace, own]) => ({
    ...(subscriptionId === undefined ? {} : { id: `${subscriptionPath(subscriptionId)}/providers/${namespace}` }),
    namespace,
    registrationState: 'Registered',
    registrationPolicy: 'RegistrationFree',
    resourceTypes: own.map(({ type, hasLocation }) => ({
      resourceType: type.slice(namespace.length + 1),
      locations: hasLocation ? locations.map((each) => each.displayName) : [],
      apiVersions: shownVersions,
      defaultApiVersion: '2025-11-01',
      capabilities: hasLocation ? 'SupportsTags, SupportsLocation' : 'None',
    })),
  }));
}
