import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { BerthError } from '../../core/errors.ts';
import { BlobMissing } from '../../platform/blob-store/blob-store.ts';
import { createFolderStore } from '../../platform/blob-store/folder-store.ts';
import { createFailpoints } from '../../platform/failpoints.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { FoundContent } from './found-content.ts';
import { type ReadableStore, scanBlobs } from './scan-blobs.ts';

/** A store of three blobs of one byte; reading the middle one fails. */
async function storeWith(folder: string, fault: Error): Promise<{ store: ReadableStore; broken: string | undefined }> {
  const failpoint = createFailpoints(undefined, systemClock);
  const store = createFolderStore({ folder: join(folder, 'store'), ids, failpoint });
  const keys: string[] = [];
  for (const text of ['a', 'b', 'c']) {
    const handle = await store.begin();
    const part = await store.part(handle, { number: 1, offset: 0 }, asStream(text));
    keys.push(await store.complete(handle, [part.token]));
  }
  const [, broken] = keys;
  const read = (key: string) => (key === broken ? failing(fault) : store.read(key));
  return { store: { list: (prefix) => store.list(prefix), read }, broken };
}

for (const code of ['EIO', 'EUCLEAN', 'EBADMSG']) {
  test(`a blob whose bytes the disk does not give (${code}) is told, and the others are read`, async () => {
    using folder = temporaryFolder('scan');
    using found = new FoundContent();
    const { store, broken } = await storeWith(folder.path, Object.assign(new Error('read'), { code }));
    const account = await scanBlobs(store, found, () => {});
    assert.deepEqual(account, { blobs: 2, bytes: 2, unfinished: 0, unreadable: [broken] });
    assert.equal(found.strayBlobs().length, 2);
  });
}

test('a blob that left after it was listed is none', async () => {
  using folder = temporaryFolder('scan');
  using found = new FoundContent();
  const { store } = await storeWith(folder.path, new BlobMissing('gone'));
  const account = await scanBlobs(store, found, () => {});
  assert.deepEqual(account, { blobs: 2, bytes: 2, unfinished: 0, unreadable: [] });
});

test('a store that is away, or closed to this user, ends it: nothing is told as lost that is not', async () => {
  for (const fault of [new BerthError('storeAway'), Object.assign(new Error('read'), { code: 'EACCES' })]) {
    using folder = temporaryFolder('scan');
    using found = new FoundContent();
    const { store } = await storeWith(folder.path, fault);
    await assert.rejects(
      scanBlobs(store, found, () => {}),
      fault,
    );
  }
});

async function* failing(fault: Error): AsyncGenerator<Uint8Array> {
  yield Buffer.from('some');
  throw fault;
}

async function* asStream(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
