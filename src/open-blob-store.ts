import { openAzureStore } from './platform/blob-store/azure/open-azure-store.ts';
import type { BlobStore } from './platform/blob-store/blob-store.ts';
import { createFolderStore } from './platform/blob-store/folder-store.ts';
import { openS3Store } from './platform/blob-store/s3/open-s3-store.ts';
import type { StoreAddress } from './platform/blob-store/store-address.ts';
import type { Clock } from './platform/clock.ts';
import type { Failpoint } from './platform/failpoints.ts';
import type { Ids } from './platform/ids.ts';
import { createOutbound, type Outbound } from './platform/outbound/outbound.ts';
import { blobsAddressOf, type Settings } from './settings.ts';

export type StoreParts = { readonly clock: Clock; readonly ids: Ids; readonly failpoint: Failpoint };

/** A blob store and what is to be closed with it. */
export type OpenedStore = { readonly store: BlobStore; readonly close: () => Promise<void> };

/** Opens the blob store that the settings name. */
export function openBlobStore(settings: Settings, parts: StoreParts): OpenedStore {
  const address = blobsAddressOf(settings);
  if (address.kind === 'folder') {
    return { store: createFolderStore({ ...parts, folder: address.folder }), close: async () => {} };
  }
  const outbound = openStoreGateway(settings, address, parts.clock);
  return { store: openObjectStore(settings, address, { ...parts, outbound }), close: () => outbound.close() };
}

type ObjectAddress = Exclude<StoreAddress, { kind: 'folder' }>;

function openObjectStore(
  { blobsKeyId, blobsKey }: Settings,
  address: ObjectAddress,
  parts: StoreParts & { readonly outbound: Outbound },
): BlobStore {
  if (address.kind === 'azure') {
    if (blobsKey === undefined) throw new Error('the blob store in Azure needs the account key: BERTH_BLOBS_KEY');
    return openAzureStore({ ...parts, address, accountKey: blobsKey });
  }
  if (blobsKeyId === undefined && blobsKey === undefined)
    return openS3Store({ ...parts, address, credentials: undefined });
  if (blobsKeyId === undefined || blobsKey === undefined)
    throw new Error('the blob store in S3 needs both BERTH_BLOBS_KEY_ID and BERTH_BLOBS_KEY, or neither');
  return openS3Store({ ...parts, address, credentials: { accessKeyId: blobsKeyId, secretAccessKey: blobsKey } });
}

/** The gateway to the store: the host that the administrator named is open whatever its address. */
function openStoreGateway(settings: Settings, address: ObjectAddress, clock: Clock): Outbound {
  const hosts = new Map(settings.outboundHost);
  for (const name of ownHostsOf(address)) if (!hosts.has(name.host)) hosts.set(name.host, name);
  return createOutbound({ allow: settings.outboundAllow, hosts, clock });
}

function ownHostsOf(address: ObjectAddress): { readonly host: string; readonly port: number }[] {
  if (address.endpoint === undefined) return [];
  const { hostname, port, protocol } = new URL(address.endpoint);
  const target = { host: hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) };
  const isInHost = address.kind === 's3' && !address.isPathStyle;
  return [target, ...(isInHost ? [{ ...target, host: `${address.bucket}.${hostname}` }] : [])];
}
