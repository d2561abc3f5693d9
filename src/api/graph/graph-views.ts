import type { Application } from '../../features/identity/applications.ts';
import type { Credential } from '../../features/identity/credentials.ts';
import type { Group } from '../../features/identity/groups.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import type { ServicePrincipal } from '../../features/identity/service-principals.ts';
import type { DirectoryObject } from '../../features/identity/tenant-directory.ts';
import type { User } from '../../features/identity/users.ts';
import type { JsonObject } from '../../wire/arm/json.ts';

/** What people set and we keep, with what the directory of Microsoft shows where they set nothing. */
const applicationDefaults: JsonObject = {
  identifierUris: [],
  signInAudience: 'AzureADMyOrg',
  isFallbackPublicClient: null,
  publisherDomain: null,
  tags: [],
  appRoles: [],
  requiredResourceAccess: [],
  optionalClaims: null,
  api: { oauth2PermissionScopes: [], preAuthorizedApplications: [] },
  info: {},
  web: { redirectUris: [], implicitGrantSettings: { enableAccessTokenIssuance: false, enableIdTokenIssuance: false } },
  spa: { redirectUris: [] },
  publicClient: { redirectUris: [] },
};

/** Source: Microsoft Graph, resource type application. */
export function applicationView(application: Application): JsonObject {
  const own = application.credentials.filter((each) => each.isOfApplication);
  return {
    ...applicationDefaults,
    ...application.properties,
    id: objectIdOf(application.uid),
    deletedDateTime: null,
    appId: application.appId,
    createdDateTime: timeOf(application.createdAtMicros),
    displayName: application.displayName,
    ...credentialLists(own),
  };
}

/** Source: Microsoft Graph, resource type servicePrincipal; `tenantId` as `appOwnerOrganizationId`. */
export function servicePrincipalView(principal: ServicePrincipal, tenantId: string): JsonObject {
  return {
    appDescription: null,
    homepage: null,
    replyUrls: [],
    tags: [],
    appRoleAssignmentRequired: false,
    alternativeNames: [],
    appRoles: [],
    oauth2PermissionScopes: [],
    ...principal.properties,
    id: objectIdOf(principal.uid),
    deletedDateTime: null,
    accountEnabled: principal.isEnabled,
    appDisplayName: principal.displayName,
    appId: principal.appId,
    appOwnerOrganizationId: tenantId,
    createdDateTime: timeOf(principal.createdAtMicros),
    displayName: principal.displayName,
    servicePrincipalNames: [principal.appId, ...principal.identifierUris],
    servicePrincipalType: principal.kind === 'managedIdentity' ? 'ManagedIdentity' : 'Application',
    signInAudience: 'AzureADMyOrg',
    ...credentialLists(principal.credentials.filter((each) => !each.isOfApplication)),
  };
}

/** Source: Microsoft Graph, resource type user. */
export function userView(user: User): JsonObject {
  return {
    businessPhones: [],
    givenName: null,
    jobTitle: null,
    mail: null,
    mailNickname: null,
    mobilePhone: null,
    officeLocation: null,
    preferredLanguage: null,
    surname: null,
    ...user.properties,
    id: objectIdOf(user.uid),
    accountEnabled: user.isEnabled,
    createdDateTime: timeOf(user.createdAtMicros),
    displayName: user.displayName,
    userPrincipalName: user.userPrincipalName,
  };
}

/** Source: Microsoft Graph, resource type group. */
export function groupView(group: Group): JsonObject {
  return {
    description: null,
    mail: null,
    mailNickname: null,
    groupTypes: [],
    ...group.properties,
    id: objectIdOf(group.uid),
    deletedDateTime: null,
    createdDateTime: timeOf(group.createdAtMicros),
    displayName: group.displayName,
    mailEnabled: false,
    securityEnabled: true,
  };
}

/** In a list of mixed kinds each says what it is. */
export function objectView(found: DirectoryObject, tenantId: string): JsonObject {
  return { '@odata.type': `#microsoft.graph.${found.kind}`, ...plainView(found, tenantId) };
}

/** Source: Microsoft Graph, resource type federatedIdentityCredential. */
export function federatedView(credential: Extract<Credential, { readonly kind: 'federated' }>): JsonObject {
  return {
    id: objectIdOf(credential.uid),
    name: credential.displayName ?? '',
    issuer: credential.issuer,
    subject: credential.subject,
    audiences: [...credential.audiences],
    description: credential.description ?? null,
  };
}

/** Source: Microsoft Graph, resource type passwordCredential; the text itself is only in the answer of addPassword. */
export function passwordView(credential: Extract<Credential, { readonly kind: 'secret' }>): JsonObject {
  return {
    customKeyIdentifier: null,
    displayName: credential.displayName ?? null,
    endDateTime: credential.expiresAtMicros === undefined ? null : timeOf(credential.expiresAtMicros),
    hint: credential.hint ?? null,
    keyId: objectIdOf(credential.uid),
    secretText: null,
    startDateTime: timeOf(credential.startsAtMicros ?? credential.createdAtMicros),
  };
}

function plainView(found: DirectoryObject, tenantId: string): JsonObject {
  switch (found.kind) {
    case 'user':
      return userView(found.object);
    case 'group':
      return groupView(found.object);
    case 'servicePrincipal':
      return servicePrincipalView(found.object, tenantId);
    case 'application':
      return applicationView(found.object);
  }
}

function credentialLists(credentials: readonly Credential[]): JsonObject {
  return {
    passwordCredentials: credentials.flatMap((each) => (each.kind === 'secret' ? [passwordView(each)] : [])),
    keyCredentials: credentials.flatMap((each) => (each.kind === 'certificate' ? [keyView(each)] : [])),
  };
}

function keyView(credential: Extract<Credential, { readonly kind: 'certificate' }>): JsonObject {
  return {
    customKeyIdentifier: credential.thumbprint,
    displayName: credential.displayName ?? null,
    endDateTime: credential.expiresAtMicros === undefined ? null : timeOf(credential.expiresAtMicros),
    key: null,
    keyId: objectIdOf(credential.uid),
    startDateTime: timeOf(credential.startsAtMicros ?? credential.createdAtMicros),
    type: 'AsymmetricX509Cert',
    usage: 'Verify',
  };
}

function timeOf(micros: number): string {
  return `${new Date(micros / 1000).toISOString().slice(0, 19)}Z`;
}
