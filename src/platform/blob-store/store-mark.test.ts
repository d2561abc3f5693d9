import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startAzureServer } from '../../../test/support/azure-server.ts';
import { startS3Server } from '../../../test/support/s3-server.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { createOutbound } from '../outbound/outbound.ts';
import { systemClock as clock } from '../system-clock.ts';
import { systemIds as ids } from '../system-ids.ts';
import { openAzureStore } from './azure/open-azure-store.ts';
import { entries } from './blob-store-suite.ts';
import { folderMark } from './folder-mark.ts';
import { openS3Store } from './s3/open-s3-store.ts';
import { parseStoreAddress } from './store-address.ts';
import { claimStore, type StoreMark } from './store-mark.ts';

describe('a store remembers whose it is', async () => {
  const folder = temporaryFolder('mark');
  const s3 = await startS3Server();
  const azure = await startAzureServer();
  const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock });
  after(async () => {
    await s3[Symbol.asyncDispose]();
    await azure[Symbol.asyncDispose]();
    folder.remove();
  });
  const s3Address = parseStoreAddress(s3.blobs);
  const azureAddress = parseStoreAddress(azure.blobs);
  assert.ok(s3Address.kind === 's3' && azureAddress.kind === 'azure');
  const parts = { outbound, clock, ids };
  const s3Store = openS3Store({ ...parts, address: s3Address, credentials: s3.credentials });
  const azureStore = openAzureStore({ ...parts, address: azureAddress, accountKey: azure.accountKey });
  const marks: Record<string, StoreMark> = {
    folder: folderMark(folder.path),
    S3: s3Store.mark,
    Azure: azureStore.mark,
  };
  for (const [name, mark] of Object.entries(marks)) {
    test(name, async () => {
      assert.equal(await mark.read(), undefined);
      await Promise.all([1, 2, 3, 4].map(() => claimStore(mark, 'one')));
      await claimStore(mark, 'one');
      await assert.rejects(claimStore(mark, 'two'), /belongs to another installation/);
      assert.equal(await mark.read(), 'one');
    });
  }

  test('the mark is not among the blobs', async () => {
    for (const store of [s3Store, azureStore]) assert.deepEqual(await entries(store, ''), []);
  });
});
