import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import type { Ids } from '../platform/ids.ts';
import { type BlobAccount, copyBlobs, namedBlobs, type Progress } from './copy-blobs.ts';
import { installationOf } from './installation-row.ts';
import { beginAnew } from './restored-rows.ts';
import type { RowSink, RowSource } from './rows.ts';

export type RestoreParts = {
  readonly rows: RowSource;
  readonly backupStore: BlobStore;
  /** What is there already. Closed before anything is written: a reader keeps PostgreSQL from emptying its tables. */
  readonly openPresent: () => Promise<RowSource>;
  readonly sink: RowSink;
  readonly store: BlobStore;
  readonly ids: Ids;
  readonly progress: Progress;
};

export type RestoreAccount = { readonly rows: number; readonly blobs: BlobAccount };

/**
 * Puts a snapshot into an empty database and its blobs into a store: blobs first, so that the database never names one that is
 * not there yet. Cut off anywhere, it is run again. Streams of the journal begin a new incarnation.
 * Throws when the database holds an installation.
 */
export async function restore(parts: RestoreParts): Promise<RestoreAccount> {
  await requireEmpty(parts.openPresent);
  const blobs = await copyBlobs(await namedBlobs(parts.rows), parts.backupStore, parts.store, parts.progress);
  const counts = await parts.sink.replaceAll(parts.rows, beginAnew(parts.ids.uid()));
  return { rows: [...counts.values()].reduce((total, count) => total + count, 0), blobs };
}

async function requireEmpty(openPresent: () => Promise<RowSource>): Promise<void> {
  const present = await openPresent();
  try {
    if ((await installationOf(present)) !== undefined)
      throw new Error('the database holds an installation already; restore into an empty one');
  } finally {
    await present.close();
  }
}
