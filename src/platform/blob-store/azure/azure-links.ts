import { BlobSASPermissions, type ContainerClient } from '@azure/storage-blob';
import type { Clock } from '../../clock.ts';
import type { BlobLinks } from '../blob-links.ts';
import { isStorageKey } from '../folder-layout.ts';

export type AzureLinksOptions = {
  /** At the address by which clients reach it. */
  readonly container: ContainerClient;
  readonly prefix: string;
  readonly clock: Clock;
};

/** Addresses with a shared access signature for one blob. Source: Azure Storage, "Create a service SAS". */
export function createAzureLinks({ container, prefix, clock }: AzureLinksOptions): BlobLinks {
  return {
    linkTo: async (key, lifeSeconds) => {
      if (!isStorageKey(key)) throw new Error('malformed storage key');
      return await container.getBlobClient(`${prefix}blobs/${key}`).generateSasUrl({
        permissions: BlobSASPermissions.parse('r'),
        expiresOn: new Date(clock.nowMicros() / 1000 + lifeSeconds * 1000),
        contentType: 'application/octet-stream',
      });
    },
  };
}
