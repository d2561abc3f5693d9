import type { RegistryProperties } from '../../wire/arm/registry-schema.ts';
import { type Sku, skus } from './registry.ts';

const gib = 1024 ** 3;
const tib = 1024 ** 4;

/** What a registry of a SKU may hold. Source: ACR semantics, SKUs and limits, 2.1. */
export type SkuLimits = {
  /** What `az acr show-usage` gives as the limit: the storage that the price includes. */
  readonly includedBytes: number;
  readonly maxBytes: number;
  readonly ipRules: number;
  readonly virtualNetworkRules: number;
  /** Children by the last word of their type, in lower case. */
  readonly children: Readonly<Record<string, number>>;
};

export const skuLimits: Readonly<Record<Sku, SkuLimits>> = {
  Basic: {
    includedBytes: 10 * gib,
    maxBytes: 40 * tib,
    ipRules: 0,
    virtualNetworkRules: 0,
    children: {
      webhooks: 2,
      tokens: 100,
      scopemaps: 100,
      replications: 0,
      privateendpointconnections: 0,
      connectedregistries: 0,
      agentpools: 0,
    },
  },
  Standard: {
    includedBytes: 100 * gib,
    maxBytes: 40 * tib,
    ipRules: 0,
    virtualNetworkRules: 0,
    children: {
      webhooks: 10,
      tokens: 500,
      scopemaps: 500,
      replications: 0,
      privateendpointconnections: 0,
      connectedregistries: 0,
      agentpools: 0,
      cacherules: 1_000,
    },
  },
  Premium: {
    includedBytes: 500 * gib,
    maxBytes: 100 * tib,
    ipRules: 200,
    virtualNetworkRules: 100,
    children: {
      webhooks: 500,
      tokens: 50_000,
      scopemaps: 50_000,
      privateendpointconnections: 200,
      cacherules: 1_000,
    },
  },
};

type Gate = {
  /** The member of `properties` that turns the feature on. */
  readonly member: string;
  readonly feature: string;
  readonly from: Sku;
  readonly isUsed: (properties: RegistryProperties) => boolean;
};

/** Features that smaller SKUs do not have. Source: ACR semantics, "What is gated by SKU". */
const gates: readonly Gate[] = [
  gate('anonymousPullEnabled', 'anonymous pull', 'Standard', (p) => p.anonymousPullEnabled),
  gate('dataEndpointEnabled', 'dedicated data endpoints', 'Premium', (p) => p.dataEndpointEnabled),
  gate('regionalEndpoints', 'regional endpoints', 'Premium', (p) => p.regionalEndpoints === 'Enabled'),
  gate('endpointProtocol', 'IPv6', 'Premium', (p) => p.endpointProtocol === 'IPv4AndIPv6'),
  gate('publicNetworkAccess', 'turning public access off', 'Premium', (p) => p.publicNetworkAccess === 'Disabled'),
  gate('networkRuleSet', 'network rules', 'Premium', ({ networkRuleSet: rules }) => {
    return rules.defaultAction === 'Deny' || rules.ipRules.length + rules.virtualNetworkRules.length > 0;
  }),
  gate('encryption', 'customer-managed keys', 'Premium', (p) => p.encryption.status === 'enabled'),
  gate('policies.trustPolicy', 'content trust', 'Premium', (p) => p.policies.trustPolicy.status === 'enabled'),
  gate('policies.retentionPolicy', 'the retention policy', 'Premium', (p) => {
    return p.policies.retentionPolicy.status === 'enabled';
  }),
  gate('policies.exportPolicy', 'turning exports off', 'Premium', (p) => p.policies.exportPolicy.status === 'disabled'),
];

/** What the properties use that the SKU does not have. */
export function gatesClosed(sku: Sku, properties: RegistryProperties): readonly Gate[] {
  return gates.filter((each) => isSmaller(sku, each.from) && each.isUsed(properties));
}

export function isSmaller(sku: Sku, than: Sku): boolean {
  return skus.indexOf(sku) < skus.indexOf(than);
}

function gate(member: string, feature: string, from: Sku, isUsed: Gate['isUsed']): Gate {
  return { member, feature, from, isUsed };
}
