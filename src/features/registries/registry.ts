import type { RegistryName } from '../../core/registry-name.ts';

/** The plan of a registry, from small to large. Source: ACR semantics, SKUs and limits. */
export const skus = ['Basic', 'Standard', 'Premium'] as const;
export type Sku = (typeof skus)[number];

/**
 * What gives rights on content: `LegacyRegistryPermissions` the actions of roles, on the whole registry;
 * `AbacRepositoryPermissions` their data actions, repository by repository. Source: ACR semantics, "Two permission modes".
 */
export const permissionModes = ['LegacyRegistryPermissions', 'AbacRepositoryPermissions'] as const;
export type PermissionMode = (typeof permissionModes)[number];

export const registryType = 'Microsoft.ContainerRegistry/registries';

/** A registry as requests see it: immutable, read at one access epoch. */
export type Registry = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly name: RegistryName;
  /** Its ARM id in lower case: the chain of scopes at which roles are assigned. */
  readonly resourceKey: string;
  /** Host, with a port unless it is 443, in lower case: token audience and the host part of image references. */
  readonly loginServer: string;
  readonly sku: Sku;
  readonly isAdminEnabled: boolean;
  readonly isAnonymousPullEnabled: boolean;
  readonly permissionMode: PermissionMode;
  /** Tokens issued at an older access epoch are refused. */
  readonly credentialsEpoch: number;
  /** Names and `prefix/*` that anonymous pull is limited to; empty for every repository. */
  readonly anonymousRepositories: readonly string[];
  readonly network: NetworkRules;
  /** Whether tokens of the tenant for the resource manager buy tokens of this registry too. */
  readonly acceptsArmTokens: boolean;
  /** Whether requests are held to the figures of the SKU; strangers are anyway. */
  readonly isThrottled: boolean;
  /** Most bytes that it may have in use; undefined for what its SKU may. */
  readonly storageLimitBytes: number | undefined;
};

/** From which addresses a registry may be reached. Source: ACR semantics, "Networking". */
export type NetworkRules = {
  readonly isPublic: boolean;
  readonly defaultAction: 'Allow' | 'Deny';
  /** Addresses and networks that are let in when the default is to deny. */
  readonly allowed: readonly string[];
  /** Whether services of the installation itself come in past the rules. */
  readonly admitsTrustedServices: boolean;
};

/** As a new registry has it: whoever has the right may connect from anywhere. */
export const openAccess: Pick<
  Registry,
  | 'permissionMode'
  | 'credentialsEpoch'
  | 'anonymousRepositories'
  | 'network'
  | 'acceptsArmTokens'
  | 'isThrottled'
  | 'storageLimitBytes'
> = {
  permissionMode: 'LegacyRegistryPermissions',
  credentialsEpoch: 0,
  anonymousRepositories: [],
  network: { isPublic: true, defaultAction: 'Allow', allowed: [], admitsTrustedServices: true },
  acceptsArmTokens: true,
  isThrottled: false,
  storageLimitBytes: undefined,
};
