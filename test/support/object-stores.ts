import assert from 'node:assert/strict';
import { openAzureStore } from '../../src/platform/blob-store/azure/open-azure-store.ts';
import type { BlobStore } from '../../src/platform/blob-store/blob-store.ts';
import { openS3Store } from '../../src/platform/blob-store/s3/open-s3-store.ts';
import { parseStoreAddress } from '../../src/platform/blob-store/store-address.ts';
import { createOutbound } from '../../src/platform/outbound/outbound.ts';
import { systemClock as clock } from '../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import { startAzureServer } from './azure-server.ts';
import { startS3Server } from './s3-server.ts';

/** A store in a service of its own, and how a server is told of it. */
export type ObjectStore = AsyncDisposable & {
  readonly store: BlobStore;
  /** The setting `blobs`. */
  readonly blobs: string;
  readonly env: Readonly<Record<string, string>>;
};

const outbound = () => createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock });

/** The object stores that a server knows, each started for one test. */
export const objectStores: Readonly<Record<'S3' | 'Azure', () => Promise<ObjectStore>>> = {
  S3: async () => {
    const server = await startS3Server();
    const address = parseStoreAddress(server.blobs);
    assert.ok(address.kind === 's3');
    const { credentials } = server;
    return {
      store: openS3Store({ address, credentials, outbound: outbound(), ids, clock }),
      blobs: server.blobs,
      env: { BERTH_BLOBS_KEY_ID: credentials.accessKeyId, BERTH_BLOBS_KEY: credentials.secretAccessKey },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
  Azure: async () => {
    const server = await startAzureServer();
    const address = parseStoreAddress(server.blobs);
    assert.ok(address.kind === 'azure');
    const { accountKey } = server;
    return {
      store: openAzureStore({ address, accountKey, outbound: outbound(), ids, clock }),
      blobs: server.blobs,
      env: { BERTH_BLOBS_KEY: accountKey },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
};
