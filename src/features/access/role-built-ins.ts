import type { RoleDefinition } from './role-definition.ts';
import type { Permission } from './role-permission.ts';

const acr = 'Microsoft.ContainerRegistry/registries';

/** Of every role that is given to people who work with the portal and with templates. */
const surroundings = [
  'Microsoft.Authorization/*/read',
  'Microsoft.Insights/alertRules/*',
  'Microsoft.Resources/deployments/*',
  'Microsoft.Resources/subscriptions/resourceGroups/read',
];

/**
 * The roles that every tenant has, with the ids and actions they have in Azure: scripts hard-code both.
 * Source: ACR semantics, "Built-in roles"; Azure built-in roles, "Containers", "General", "Identity", "Privileged".
 */
export const builtInRoles: readonly RoleDefinition[] = [
  role('8e3af657-a8ff-443c-a75c-2fe8c4bcb635', 'Owner', {
    description: 'Grants full access to manage all resources, including the ability to assign roles.',
    actions: ['*'],
  }),
  role('b24988ac-6180-42a0-ab88-20f7382dd24c', 'Contributor', {
    description: 'Grants full access to manage all resources, but does not allow you to assign roles.',
    actions: ['*'],
    notActions: [
      'Microsoft.Authorization/*/Delete',
      'Microsoft.Authorization/*/Write',
      'Microsoft.Authorization/elevateAccess/Action',
    ],
  }),
  role('acdd72a7-3385-48ef-bd42-f606fba81ae7', 'Reader', {
    description: 'View all resources, but does not allow you to make any changes.',
    actions: ['*/read'],
  }),
  role('18d7d88d-d35e-4fb5-a5c3-7773c20a72d9', 'User Access Administrator', {
    description: 'Lets you manage user access to resources.',
    actions: ['*/read', 'Microsoft.Authorization/*', 'Microsoft.Support/*'],
  }),
  role('f58310d9-a9f6-439a-9e8d-f62e7b41a168', 'Role Based Access Control Administrator', {
    description: 'Manage access to resources by assigning roles.',
    actions: [
      'Microsoft.Authorization/roleAssignments/write',
      'Microsoft.Authorization/roleAssignments/delete',
      '*/read',
      'Microsoft.Support/*',
    ],
  }),
  role('f1a07417-d97a-45cb-824c-7a7467783830', 'Managed Identity Operator', {
    description: 'Read and assign user-assigned identities.',
    actions: [
      'Microsoft.ManagedIdentity/userAssignedIdentities/*/read',
      'Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action',
      ...surroundings,
    ],
  }),
  role('e40ec5ca-96e0-45a2-b4ff-59039f2c2b59', 'Managed Identity Contributor', {
    description: 'Create, read, update and delete user-assigned identities.',
    actions: [
      'Microsoft.ManagedIdentity/userAssignedIdentities/read',
      'Microsoft.ManagedIdentity/userAssignedIdentities/write',
      'Microsoft.ManagedIdentity/userAssignedIdentities/delete',
      'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/*',
      ...surroundings,
    ],
  }),
  role('7f951dda-4ed3-4680-a7ca-43fe172d538d', 'AcrPull', {
    description: 'acr pull',
    actions: [`${acr}/pull/read`],
  }),
  role('8311e382-0749-4cb8-b61a-304f252e45ec', 'AcrPush', {
    description: 'acr push',
    actions: [`${acr}/pull/read`, `${acr}/push/write`],
  }),
  role('c2f4ef07-c644-48eb-af81-4b1b4947fb11', 'AcrDelete', {
    description: 'acr delete',
    actions: [`${acr}/artifacts/delete`],
  }),
  role('6cef56e8-d556-48e5-a04f-b8e64114680f', 'AcrImageSigner', {
    description: 'acr image signer',
    actions: [`${acr}/sign/write`],
    dataActions: [`${acr}/trustedCollections/write`],
  }),
  role('cdda3590-29a3-44f6-95f2-9f980659eb04', 'AcrQuarantineReader', {
    description: 'acr quarantine data reader',
    actions: [`${acr}/quarantine/read`],
    dataActions: [`${acr}/quarantinedArtifacts/read`],
  }),
  role('c8d4ff99-41c3-41a8-9f60-21dfdad59608', 'AcrQuarantineWriter', {
    description: 'acr quarantine data writer',
    actions: [`${acr}/quarantine/read`, `${acr}/quarantine/write`],
    dataActions: [`${acr}/quarantinedArtifacts/read`, `${acr}/quarantinedArtifacts/write`],
  }),
  role('b93aa761-3e63-49ed-ac28-beffa264f7ac', 'Container Registry Repository Reader', {
    description: 'Read the content and metadata of repositories; no catalog.',
    dataActions: repositories('metadata/read', 'content/read'),
  }),
  role('2a1e307c-b015-4ebd-883e-5b7698a07328', 'Container Registry Repository Writer', {
    description: 'Read and write the content and metadata of repositories; no catalog.',
    dataActions: repositories('metadata/read', 'content/read', 'metadata/write', 'content/write'),
  }),
  role('2efddaa5-3f1f-4df3-97df-af3f13818f4c', 'Container Registry Repository Contributor', {
    description: 'Read, write and delete the content and metadata of repositories; no catalog.',
    dataActions: repositories(
      ...['metadata/read', 'content/read', 'metadata/write', 'content/write', 'metadata/delete', 'content/delete'],
    ),
  }),
  role('bfdb9389-c9a5-478a-bb2f-ba9ca092c3c7', 'Container Registry Repository Catalog Lister', {
    description: 'List all repositories of a registry.',
    dataActions: [`${acr}/catalog/read`],
  }),
  role(
    '69b07be0-09bf-439a-b9a6-e73de851bd59',
    'Container Registry Configuration Reader and Data Access Configuration Reader',
    {
      description: 'Read the configuration of registries and of access to their data, credentials included.',
      actions: [
        `${acr}/read`,
        `${acr}/listCredentials/action`,
        `${acr}/listUsages/read`,
        `${acr}/listPolicies/read`,
        `${acr}/privateLinkResources/read`,
        `${acr}/privateEndpointConnections/read`,
        `${acr}/replications/read`,
        `${acr}/webhooks/read`,
        `${acr}/webhooks/getCallbackConfig/action`,
        `${acr}/webhooks/listEvents/action`,
        `${acr}/scopeMaps/read`,
        `${acr}/tokens/read`,
        `${acr}/connectedRegistries/read`,
        `${acr}/operationStatuses/read`,
        ...surroundings,
      ],
    },
  ),
  role(
    '3bc748fc-213d-45c1-8d91-9da5725539b9',
    'Container Registry Contributor and Data Access Configuration Administrator',
    {
      description: 'Create, configure and delete registries and access to their data; no content.',
      actions: [
        'Microsoft.ContainerRegistry/checkNameAvailability/read',
        `${acr}/read`,
        `${acr}/write`,
        `${acr}/delete`,
        `${acr}/listCredentials/action`,
        `${acr}/regenerateCredential/action`,
        `${acr}/generateCredentials/action`,
        `${acr}/listUsages/read`,
        `${acr}/listPolicies/read`,
        `${acr}/updatePolicies/write`,
        `${acr}/privateLinkResources/read`,
        `${acr}/privateEndpointConnections/*`,
        `${acr}/privateEndpointConnectionsApproval/action`,
        `${acr}/replications/*`,
        `${acr}/webhooks/*`,
        `${acr}/scopeMaps/*`,
        `${acr}/tokens/*`,
        `${acr}/connectedRegistries/*`,
        `${acr}/operationStatuses/read`,
        ...surroundings,
      ],
    },
  ),
  role('577a9874-89fd-4f24-9dbd-b5034d0ad23a', 'Container Registry Data Importer and Data Reader', {
    description: 'Import images into a registry, and read its content.',
    actions: [`${acr}/importImage/action`, `${acr}/read`, `${acr}/pull/read`],
    dataActions: [...repositories('content/read', 'metadata/read'), `${acr}/catalog/read`],
  }),
  role('fb382eab-e894-4461-af04-94435c366c3f', 'Container Registry Tasks Contributor', {
    description: 'Configure and run tasks, quick builds and agent pools, and read their logs.',
    actions: [
      `${acr}/read`,
      `${acr}/scheduleRun/action`,
      `${acr}/listBuildSourceUploadUrl/action`,
      `${acr}/tasks/*`,
      `${acr}/taskRuns/*`,
      `${acr}/runs/*`,
      `${acr}/agentPools/*`,
      ...surroundings,
    ],
  }),
  role('bf94e731-3a51-4a7c-8c54-a1ab9971dfc1', 'Container Registry Transfer Pipeline Contributor', {
    description: 'Configure and run transfer pipelines.',
    actions: [
      `${acr}/read`,
      `${acr}/exportPipelines/*`,
      `${acr}/importPipelines/*`,
      `${acr}/pipelineRuns/*`,
      ...surroundings,
    ],
  }),
  role('df87f177-bb12-4db1-9793-a413691eff94', 'Container Registry Cache Rule Administrator', {
    description: 'Create, read, update and delete cache rules.',
    actions: [`${acr}/cacheRules/*`],
  }),
  role('c357b964-0002-4b64-a50d-7a28f02edc52', 'Container Registry Cache Rule Reader', {
    description: 'Read cache rules.',
    actions: [`${acr}/cacheRules/read`],
  }),
  role('f094fb07-0703-4400-ad6a-e16dd8000e14', 'Container Registry Credential Set Administrator', {
    description: 'Create, read, update and delete credential sets.',
    actions: [`${acr}/credentialSets/*`],
  }),
  role('29093635-9924-4f2c-913b-650a12949526', 'Container Registry Credential Set Reader', {
    description: 'Read credential sets.',
    actions: [`${acr}/credentialSets/read`],
  }),
];

const byKey = new Map(builtInRoles.map((each) => [each.key, each]));

/** By GUID in lower case. */
export function builtInRole(key: string): RoleDefinition | undefined {
  return byKey.get(key);
}

function role(
  key: string,
  name: string,
  { description, ...permission }: { readonly description: string } & Partial<Permission>,
): RoleDefinition {
  const nothing: Permission = { actions: [], notActions: [], dataActions: [], notDataActions: [] };
  return { key, name, description, permissions: [{ ...nothing, ...permission }] };
}

function repositories(...words: readonly string[]): readonly string[] {
  return words.map((word) => `${acr}/repositories/${word}`);
}
