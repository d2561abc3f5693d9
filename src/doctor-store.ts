import type { StoreFinding, StoreOwner } from './cli/command.ts';
import { openRows, openStoreOf } from './offline-parts.ts';
import { readRows } from './operate/fsck/read-rows.ts';
import { folderMark } from './platform/blob-store/folder-mark.ts';
import { errorCode } from './platform/blob-store/storage-error.ts';
import type { StoreMark } from './platform/blob-store/store-mark.ts';
import { blobsAddressOf, type Settings } from './settings.ts';

const patienceMs = 15_000;
// Source: https://www.postgresql.org/docs/15/errcodes-appendix.html
const undefinedTable = '42P01';

/** Asks the place of the blobs whose it is, from this machine and with the credentials of the settings. Never throws. */
export async function findStore(settings: Settings): Promise<StoreFinding> {
  const address = blobsAddressOf(settings);
  const place =
    address.kind === 'folder'
      ? address.folder
      : address.kind === 's3'
        ? `s3://${address.bucket}/${address.prefix}`
        : `azure://${address.account}/${address.container}/${address.prefix}`;
  await using opened = new AsyncDisposableStack();
  try {
    const mark = await markOf(settings, opened);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`no answer in ${patienceMs / 1_000} s`)), patienceMs);
    opened.defer(() => clearTimeout(timer));
    const owner = await Promise.race([mark.read(), late.promise]);
    const { uid, refusal } = await ownUid(settings);
    return { place, owner: ownerOf(owner, uid), ...(refusal !== undefined && { databaseRefusal: refusal }) };
  } catch (error) {
    return { place, failure: messageOf(error) };
  }
}

function ownerOf(owner: string | undefined, ours: string | undefined): StoreOwner {
  if (owner === undefined) return ours === undefined ? 'nobody' : 'lost';
  if (ours === undefined) return 'unknown';
  return owner === ours ? 'ours' : 'another';
}

/** Of a folder the mark alone: to open the store would make its folders, as whoever looks. */
async function markOf(settings: Settings, opened: AsyncDisposableStack): Promise<StoreMark> {
  const address = blobsAddressOf(settings);
  if (address.kind === 'folder') return folderMark(address.folder);
  return (await openStoreOf(settings, opened)).mark;
}

/** What the mark of our store says; undefined before the first start, and of a database that cannot be reached, which is told elsewhere. */
async function ownUid(settings: Settings): Promise<{ readonly uid?: string; readonly refusal?: string }> {
  try {
    await using opened = new AsyncDisposableStack();
    const rows = await openRows(settings);
    opened.defer(() => rows.close());
    for await (const row of readRows(rows, 'installation')) return { uid: row.text('tenant_uid') };
  } catch (error) {
    const code = errorCode(error) ?? '';
    // The server's own word, such as of a wrong password; that it has no tables yet is none.
    if (/^\d[\dA-Z]{4}$/.test(code) && code !== undefinedTable) return { refusal: messageOf(error) };
  }
  return {};
}

function messageOf(error: unknown): string {
  const code = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error instanceof Error ? error.message : String(error)}${code}`;
}
