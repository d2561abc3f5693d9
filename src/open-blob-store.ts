import { identityHost } from './platform/blob-store/azure/managed-identity.ts';
import type { AzureOptions } from './platform/blob-store/azure/open-azure-store.ts';
import type { BlobLinks } from './platform/blob-store/blob-links.ts';
import type { BlobStore } from './platform/blob-store/blob-store.ts';
import { folderMark } from './platform/blob-store/folder-mark.ts';
import { folderNotes } from './platform/blob-store/folder-notes.ts';
import { createFolderStore } from './platform/blob-store/folder-store.ts';
import type { S3Options } from './platform/blob-store/s3/open-s3-store.ts';
import type { StoreAddress } from './platform/blob-store/store-address.ts';
import type { StoreMark } from './platform/blob-store/store-mark.ts';
import type { StoreNotes } from './platform/blob-store/store-notes.ts';
import type { Clock } from './platform/clock.ts';
import type { Failpoint } from './platform/failpoints.ts';
import type { Ids } from './platform/ids.ts';
import { createOutbound, type Outbound } from './platform/outbound/outbound.ts';
import { blobsAddressOf, type Settings } from './settings.ts';

export type StoreParts = { readonly clock: Clock; readonly ids: Ids; readonly failpoint: Failpoint };

/** A blob store and what is to be closed with it. */
export type OpenedStore = {
  readonly store: BlobStore;
  readonly mark: StoreMark;
  readonly notes: StoreNotes;
  /** Present where clients fetch blobs from the store themselves. */
  readonly links?: BlobLinks;
  readonly close: () => Promise<void>;
};

/** Opens the blob store that the settings name. The libraries of S3 and Azure take tens of MiB: only who uses one loads it. */
export async function openBlobStore(settings: Settings, parts: StoreParts): Promise<OpenedStore> {
  const address = blobsAddressOf(settings);
  if (address.kind === 'folder') {
    if (settings.blobsRedirect)
      throw new Error('blobs-redirect needs a store in S3 or Azure; a folder has no addresses');
    const store = createFolderStore({ ...parts, folder: address.folder });
    return {
      store,
      mark: folderMark(address.folder),
      notes: folderNotes(address.folder, parts.clock),
      close: async () => {},
    };
  }
  const outbound = openStoreGateway(settings, address, parts.clock);
  const close = () => outbound.close();
  const { store, links } =
    address.kind === 'azure'
      ? await openAzure(settings, { ...parts, address, outbound })
      : await openS3(settings, { ...parts, address, outbound });
  const { mark, notes } = store;
  return { store, mark, notes, ...(settings.blobsRedirect && { links }), close };
}

async function openAzure(
  { blobsKey, blobsPublicEndpoint, blobsRedirect }: Settings,
  parts: Omit<AzureOptions, 'accountKey'>,
) {
  if (blobsKey === undefined && blobsRedirect)
    throw new Error('blobs-redirect signs addresses with the account key of the store in Azure: BERTH_BLOBS_KEY');
  const { openAzureStore, openAzureLinks } = await import('./platform/blob-store/azure/open-azure-store.ts');
  const options = { ...parts, accountKey: blobsKey };
  return { store: openAzureStore(options), links: openAzureLinks(options, blobsPublicEndpoint) };
}

async function openS3({ blobsKeyId, blobsKey, blobsPublicEndpoint }: Settings, parts: Omit<S3Options, 'credentials'>) {
  if ((blobsKeyId === undefined) !== (blobsKey === undefined))
    throw new Error('the blob store in S3 needs both BERTH_BLOBS_KEY_ID and BERTH_BLOBS_KEY, or neither');
  const credentials =
    blobsKeyId === undefined || blobsKey === undefined
      ? undefined
      : { accessKeyId: blobsKeyId, secretAccessKey: blobsKey };
  const { openS3Store, openS3Links } = await import('./platform/blob-store/s3/open-s3-store.ts');
  const options = { ...parts, credentials };
  return { store: openS3Store(options), links: openS3Links(options, blobsPublicEndpoint) };
}

/** Each reader that is slow holds one; those that are quick must find another. */
const storeConnections = 4_096;

type ObjectAddress = Exclude<StoreAddress, { kind: 'folder' }>;

/** The gateway to the store: the host that the administrator named is open whatever its address. */
function openStoreGateway(settings: Settings, address: ObjectAddress, clock: Clock): Outbound {
  const hosts = new Map(settings.outboundHost);
  if (address.kind === 'azure' && settings.blobsKey === undefined && !hosts.has(identityHost.host))
    hosts.set(identityHost.host, identityHost);
  for (const name of ownHostsOf(address)) if (!hosts.has(name.host)) hosts.set(name.host, name);
  return createOutbound({ allow: settings.outboundAllow, hosts, clock, connections: storeConnections });
}

function ownHostsOf(address: ObjectAddress): { readonly host: string; readonly port: number }[] {
  if (address.endpoint === undefined) return [];
  const { hostname, port, protocol } = new URL(address.endpoint);
  const target = { host: hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) };
  const isInHost = address.kind === 's3' && !address.isPathStyle;
  return [target, ...(isInHost ? [{ ...target, host: `${address.bucket}.${hostname}` }] : [])];
}
