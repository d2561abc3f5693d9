import type { RegistryName } from '../../core/registry-name.ts';

/** The plan of a registry, from small to large. Source: ACR semantics, SKUs and limits. */
export const skus = ['Basic', 'Standard', 'Premium'] as const;
export type Sku = (typeof skus)[number];

export const registryType = 'Microsoft.ContainerRegistry/registries';

/** A registry as requests see it: immutable, read at one access epoch. */
export type Registry = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly name: RegistryName;
  /** Host, with a port unless it is 443, in lower case: token audience and the host part of image references. */
  readonly loginServer: string;
  readonly sku: Sku;
  readonly isAdminEnabled: boolean;
  readonly isAnonymousPullEnabled: boolean;
};
