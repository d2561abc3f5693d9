import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import type { Clock } from '../../clock.ts';
import type { Ids } from '../../ids.ts';
import type { Outbound } from '../../outbound/outbound.ts';
import type { BlobLinks } from '../blob-links.ts';
import type { AzureAddress } from '../store-address.ts';
import { createAzureLinks } from './azure-links.ts';
import { AzureStore } from './azure-store.ts';
import { managedIdentity } from './managed-identity.ts';
import { createOutboundClient } from './outbound-client.ts';

/** Tries of one request, the first among them, with growing pauses: some seconds in all. */
const retryOptions = { maxTries: 5, retryDelayInMs: 200, maxRetryDelayInMs: 3_000 };

export type AzureOptions = {
  readonly address: AzureAddress;
  /** Base64; without it the managed identity of the machine is used. */
  readonly accountKey: string | undefined;
  readonly outbound: Outbound;
  readonly ids: Ids;
  readonly clock: Clock;
};

/** A store in a container that exists. Asks nothing of it. */
export function openAzureStore(options: AzureOptions): AzureStore {
  const { address, ids, clock } = options;
  return new AzureStore({ container: containerAt(options, address.endpoint), prefix: address.prefix, ids, clock });
}

/** Links to the same container, for clients that reach its account at `publicEndpoint` where that is given. */
export function openAzureLinks(options: AzureOptions, publicEndpoint: string | undefined): BlobLinks {
  const { address, clock } = options;
  const container = containerAt(options, publicEndpoint ?? address.endpoint);
  return createAzureLinks({ container, prefix: address.prefix, clock });
}

function containerAt({ address, accountKey, clock, outbound }: AzureOptions, endpoint: string): ContainerClient {
  const credential =
    accountKey === undefined
      ? managedIdentity(outbound, clock, address.identity)
      : new StorageSharedKeyCredential(address.account, accountKey);
  const options = { httpClient: createOutboundClient(outbound), retryOptions };
  return new ContainerClient(`${endpoint}/${address.container}`, credential, options);
}
