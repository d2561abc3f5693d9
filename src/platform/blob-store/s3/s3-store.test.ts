import assert from 'node:assert/strict';
import { type S3Server, startS3Server } from '../../../../test/support/s3-server.ts';
import { createOutbound } from '../../outbound/outbound.ts';
import { systemClock } from '../../system-clock.ts';
import { systemIds } from '../../system-ids.ts';
import { blobStoreSuite } from '../blob-store-suite.ts';
import { objectStoreSuite } from '../object-store-suite.ts';
import { parseStoreAddress } from '../store-address.ts';
import { openS3Store } from './open-s3-store.ts';
import type { S3Store } from './s3-store.ts';

function openAt(server: S3Server, endpoint = server.endpoint): S3Store {
  const address = parseStoreAddress(`s3://${server.bucket}/a/store?endpoint=${endpoint}`);
  assert.ok(address.kind === 's3');
  const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
  return openS3Store({ address, credentials: server.credentials, outbound, ids: systemIds, clock: systemClock });
}

blobStoreSuite('S3', async () => {
  const server = await startS3Server();
  return { open: async () => openAt(server), close: async () => await server[Symbol.asyncDispose]() };
});

objectStoreSuite('S3', async () => {
  const server = await startS3Server();
  return {
    endpoint: server.endpoint,
    open: (endpoint) => openAt(server, endpoint),
    close: async () => await server[Symbol.asyncDispose](),
  };
});
