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
import { folderNotes } from './folder-notes.ts';
import { openS3Store } from './s3/open-s3-store.ts';
import { parseStoreAddress } from './store-address.ts';
import type { StoreNotes } from './store-notes.ts';

describe('a store keeps notes beside its blobs', async () => {
  const folder = temporaryFolder('notes');
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
  const stores: Record<string, StoreNotes> = {
    folder: folderNotes(folder.path, clock),
    S3: s3Store.notes,
    Azure: azureStore.notes,
  };
  for (const [name, notes] of Object.entries(stores)) {
    test(`${name}: written, replaced, read, listed by the beginning of the name, removed`, async () => {
      assert.equal(await notes.get('a.1'), undefined);
      assert.deepEqual(await Array.fromAsync(notes.list('')), []);
      await notes.put('a.1', Buffer.from('one'));
      await notes.put('a.1', Buffer.from('first'));
      await notes.put('a.2', new Uint8Array());
      await notes.put('b.1', Buffer.from('other'));
      assert.equal(Buffer.from((await notes.get('a.1')) ?? []).toString(), 'first');
      assert.equal((await notes.get('a.2'))?.length, 0);
      const found = await Array.fromAsync(notes.list('a.'));
      assert.deepEqual(
        found.sort((a, b) => (a.name < b.name ? -1 : 1)),
        [
          { name: 'a.1', sizeBytes: 5 },
          { name: 'a.2', sizeBytes: 0 },
        ],
      );
      await notes.removeMany(['a.1', 'a.2', 'a.3']);
      assert.deepEqual(
        (await Array.fromAsync(notes.list(''))).map((note) => note.name),
        ['b.1'],
      );
    });

    test(`${name}: written by several at once it is what one of them wrote`, async () => {
      const texts = ['one', 'two', 'three', 'four'];
      await Promise.all(texts.map((text) => notes.put('c.1', Buffer.from(text))));
      assert.ok(texts.includes(Buffer.from((await notes.get('c.1')) ?? []).toString()));
      await notes.removeMany(['c.1']);
    });

    test(`${name}: a name that leads elsewhere is refused`, async () => {
      for (const bad of ['', '../a', 'a/b', 'A', '.hidden', 'a b'])
        await assert.rejects(async () => await notes.put(bad, new Uint8Array()), /malformed name/);
    });
  }

  test('notes are not among the blobs', async () => {
    for (const store of [s3Store, azureStore]) assert.deepEqual(await entries(store, ''), []);
  });
});
