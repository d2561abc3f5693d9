import { createHash } from 'node:crypto';
import { algorithmOf, type Digest, digestOf, parseDigest } from '../core/digest.ts';
import { BlobMissing, type BlobStore, type StorageKey } from '../platform/blob-store/blob-store.ts';
import type { RowSource, Value } from './rows.ts';
import { sideBySide } from './side-by-side.ts';

/** A blob that a database names. */
export type NamedBlob = { readonly key: StorageKey; readonly digest: Digest; readonly sizeBytes: number };

export type BlobAccount = {
  readonly named: number;
  readonly copied: number;
  readonly copiedBytes: number;
  /** In the target already: copied, and checked, by an earlier run. */
  readonly present: number;
  /** Named by the database and not in the source, or there with other bytes. */
  readonly missing: readonly NamedBlob[];
  readonly damaged: readonly NamedBlob[];
};

/** Told now and then while blobs are copied; `bytes` counts those of blobs under way too. */
export type Progress = (done: { readonly blobs: number; readonly of: number; readonly bytes: number }) => void;

/** Copies under way at once. */
const width = 4;
/** Told after so many, or so many bytes, whichever comes first: a blob can be larger than all others together. */
const progressEvery = { blobs: 100, bytes: 1024 ** 3 };

/** Every ready blob that the database names, and what else is kept in the store. */
export async function namedBlobs(source: RowSource): Promise<NamedBlob[]> {
  return [...(await namedIn(source, 'blobs')), ...(await namedIn(source, 'kept_bytes'))];
}

async function namedIn(source: RowSource, tableName: string): Promise<NamedBlob[]> {
  const table = source.tables.find(({ name }) => name === tableName);
  if (table === undefined) throw new Error(`the database has no table ${tableName}`);
  const at = (column: string) => table.columns.indexOf(column);
  const [key, digest, size, state] = [at('storage_key'), at('digest'), at('size'), at('state')];
  const found: NamedBlob[] = [];
  for await (const rows of source.rows(table)) {
    for (const row of rows) {
      if (state >= 0 && row[state] !== 'ready') continue;
      found.push({ key: textOf(row[key]), digest: parseDigest(textOf(row[digest])), sizeBytes: Number(row[size]) });
    }
  }
  return found;
}

/**
 * Copies blobs from store to store under the keys they have, hashing each on its way: what is in the target is whole and has its
 * digest. What a run that was cut off has copied stays, and is not copied again. A blob whose bytes are gone or wrong is told in
 * the account, and the rest goes on; any other fault of a store ends the run.
 */
export async function copyBlobs(
  blobs: readonly NamedBlob[],
  from: BlobStore,
  to: BlobStore,
  progress: Progress,
): Promise<BlobAccount> {
  // A store that cannot be written is told before anything is read.
  await to.check();
  const present = await presentKeys(to);
  const waiting = blobs.filter((blob) => present.get(blob.key) !== blob.sizeBytes);
  const missing: NamedBlob[] = [];
  const damaged: NamedBlob[] = [];
  let copied = 0;
  let copiedBytes = 0;
  let readBytes = 0;
  const tell = () => progress({ blobs: copied, of: waiting.length, bytes: readBytes });
  const onRead = (bytes: number) => {
    readBytes += bytes;
    if (readBytes % progressEvery.bytes < bytes) tell();
  };
  await sideBySide(waiting, width, async (blob) => {
    const outcome = await copyBlob(blob, { from, to, onRead });
    if (outcome === 'missing') missing.push(blob);
    else if (outcome === 'damaged') damaged.push(blob);
    else {
      copied += 1;
      copiedBytes += blob.sizeBytes;
      if (copied % progressEvery.blobs === 0) tell();
    }
  });
  return { named: blobs.length, copied, copiedBytes, present: blobs.length - waiting.length, missing, damaged };
}

type Copying = {
  readonly from: BlobStore;
  readonly to: BlobStore;
  readonly onRead: (bytes: number) => void;
};

async function copyBlob(blob: NamedBlob, { from, to, onRead }: Copying): Promise<'copied' | 'missing' | 'damaged'> {
  if (to.keyOf(blob.key) !== blob.key) throw new Error('the target store chooses its keys otherwise');
  const hash = createHash(algorithmOf(blob.digest));
  let sizeBytes = 0;
  async function* hashed() {
    for await (const chunk of from.read(blob.key)) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      onRead(chunk.length);
      yield chunk;
    }
  }
  try {
    // What an earlier run left unfinished under this key.
    await to.abort(blob.key);
    const part = await to.part(blob.key, { number: 1, offset: 0 }, hashed());
    if (sizeBytes !== blob.sizeBytes || digestOf(algorithmOf(blob.digest), hash.digest('hex')) !== blob.digest) {
      await to.abort(blob.key);
      return 'damaged';
    }
    await to.complete(blob.key, [part.token]);
    return 'copied';
  } catch (error) {
    if (!(error instanceof BlobMissing)) throw error;
    await to.abort(blob.key);
    return 'missing';
  }
}

async function presentKeys(store: BlobStore): Promise<ReadonlyMap<StorageKey, number>> {
  const keys = new Map<StorageKey, number>();
  for await (const { key, sizeBytes, handle } of store.list('')) if (handle === undefined) keys.set(key, sizeBytes);
  return keys;
}

function textOf(value: Value | undefined): string {
  if (typeof value !== 'string') throw new TypeError('a column that holds text holds something else');
  return value;
}
