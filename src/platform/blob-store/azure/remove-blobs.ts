import type { BlobClient, ContainerClient } from '@azure/storage-blob';

/** Source: Azure Storage, "Blob Batch". */
const batchSize = 256;

/** Removes blobs, many in one request; those that are gone already are fine. Throws when the service kept one. */
export async function removeBlobs(container: ContainerClient, blobs: readonly BlobClient[]): Promise<void> {
  const batches = container.getBlobBatchClient();
  for (let start = 0; start < blobs.length; start += batchSize) {
    const { subResponses } = await batches.deleteBlobs(blobs.slice(start, start + batchSize));
    const kept = subResponses.find(({ status }) => status >= 300 && status !== 404);
    if (kept !== undefined) throw new Error(`the store did not remove a blob: ${kept.status} ${kept.errorCode ?? ''}`);
  }
}
