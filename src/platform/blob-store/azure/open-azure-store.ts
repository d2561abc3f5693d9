import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import type { Clock } from '../../clock.ts';
import type { Ids } from '../../ids.ts';
import type { Outbound } from '../../outbound/outbound.ts';
import type { AzureAddress } from '../store-address.ts';
import { AzureStore } from './azure-store.ts';
import { createOutboundClient } from './outbound-client.ts';

/** Tries of one request, the first among them, with growing pauses: some seconds in all. */
const retryOptions = { maxTries: 5, retryDelayInMs: 200, maxRetryDelayInMs: 3_000 };

export type AzureOptions = {
  readonly address: AzureAddress;
  /** Base64. */
  readonly accountKey: string;
  readonly outbound: Outbound;
  readonly ids: Ids;
  readonly clock: Clock;
};

/** A store in a container that exists. Asks nothing of it. */
export function openAzureStore({ address, accountKey, outbound, ids, clock }: AzureOptions): AzureStore {
  const { account, container, prefix, endpoint } = address;
  const credential = new StorageSharedKeyCredential(account, accountKey);
  const options = { httpClient: createOutboundClient(outbound), retryOptions };
  return new AzureStore({
    container: new ContainerClient(`${endpoint}/${container}`, credential, options),
    prefix,
    ids,
    clock,
  });
}
