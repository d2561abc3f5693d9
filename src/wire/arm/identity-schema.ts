import { z } from 'zod';

export const userAssignedIdentityTypeName = 'Microsoft.ManagedIdentity/userAssignedIdentities';
export const federatedCredentialTypeName = `${userAssignedIdentityTypeName}/federatedIdentityCredentials`;

/** What can be set of a user-assigned identity. Source: Microsoft.ManagedIdentity/userAssignedIdentities. */
export const userAssignedIdentitySchema = z.object({ isolationScope: z.enum(['None', 'Regional']).nullish() });

const issuer = z.url({ protocol: /^https$/, error: 'an address that begins with https:// is needed' }).max(600);
const subject = z.string().min(1).max(600);
const audiences = z.array(z.string().min(1).max(600)).min(1).max(10);

/** Source: Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials. */
export const federatedCredentialSchema = z.object({ issuer, subject, audiences });
export type FederatedCredentialProperties = z.infer<typeof federatedCredentialSchema>;
