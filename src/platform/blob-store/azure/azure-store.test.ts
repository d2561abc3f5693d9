import assert from 'node:assert/strict';
import { type AzureServer, startAzureServer } from '../../../../test/support/azure-server.ts';
import { createOutbound } from '../../outbound/outbound.ts';
import { systemClock } from '../../system-clock.ts';
import { systemIds } from '../../system-ids.ts';
import { blobStoreSuite } from '../blob-store-suite.ts';
import { objectStoreSuite } from '../object-store-suite.ts';
import { parseStoreAddress } from '../store-address.ts';
import type { AzureStore } from './azure-store.ts';
import { openAzureStore } from './open-azure-store.ts';

function openAt(server: AzureServer, endpoint = server.endpoint): AzureStore {
  const address = parseStoreAddress(`azure://${server.account}/${server.container}/a/store?endpoint=${endpoint}`);
  assert.ok(address.kind === 'azure');
  const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
  return openAzureStore({ address, accountKey: server.accountKey, outbound, ids: systemIds, clock: systemClock });
}

blobStoreSuite('Azure', async () => {
  const server = await startAzureServer();
  return { open: async () => openAt(server), close: async () => await server[Symbol.asyncDispose]() };
});

objectStoreSuite('Azure', async () => {
  const server = await startAzureServer();
  return {
    endpoint: server.endpoint,
    open: (endpoint) => openAt(server, endpoint),
    close: async () => await server[Symbol.asyncDispose](),
  };
});
