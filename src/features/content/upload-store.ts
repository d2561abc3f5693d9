import type { PartToken, StoreHandle } from '../../platform/blob-store/blob-store.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { sendAhead } from '../../platform/database/send-ahead.ts';
import type { UploadSession } from './upload-tickets.ts';

/** What is stored of an upload between two requests. */
export type Upload = {
  readonly uid: string;
  readonly handle: StoreHandle;
  /** Bytes. */
  readonly offset: number;
  readonly tokens: readonly PartToken[];
  readonly fence: number;
  /** Whether a request held it when it was read. */
  readonly isHeld: boolean;
};

/** Microseconds; how long a request's hold on an upload lasts without renewal. */
export const uploadLeaseMicros = 30_000_000;

/** Inserts an upload's row after its first chunk. False when another request made one meanwhile. */
export async function insertUpload(
  tx: Transaction,
  session: UploadSession,
  repositoryUid: string,
  upload: Upload,
  times: { readonly nowMicros: number; readonly expiresMicros: number },
): Promise<boolean> {
  const row = await tx
    .insertInto('uploads')
    .values({
      uid: upload.uid,
      registry_uid: session.place.registryUid,
      repository_uid: repositoryUid,
      principal: session.principalUid,
      algorithm: session.algorithm,
      handle: upload.handle,
      offset: upload.offset,
      parts: JSON.stringify(upload.tokens),
      lease_owner: null,
      lease_until: 0,
      fence: upload.fence,
      created_at: session.startedMicros,
      changed_at: times.nowMicros,
      expires_at: times.expiresMicros,
    })
    .onConflict((conflict) => conflict.column('uid').doNothing())
    .returning('uid')
    .executeTakeFirst();
  return row !== undefined;
}

/** Uploads with stored bytes that one principal holds open in one registry. */
export async function countOpenUploads(tx: Transaction, session: UploadSession): Promise<number> {
  const { count } = await tx
    .selectFrom('uploads')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('registry_uid', '=', session.place.registryUid)
    .where('principal', '=', session.principalUid)
    .where('handle', '<>', '')
    .executeTakeFirstOrThrow();
  return Number(count);
}

/**
 * Takes an upload for one request, as `sendAhead`; the answer is the new fence, or undefined when it moved on or another request
 * holds it.
 */
export async function claimUpload(
  tx: Transaction,
  upload: Upload,
  lease: { readonly owner: string; readonly nowMicros: number },
): Promise<() => Promise<number | undefined>> {
  const query = tx
    .updateTable('uploads')
    .set((set) => ({
      lease_owner: lease.owner,
      lease_until: lease.nowMicros + uploadLeaseMicros,
      fence: set('fence', '+', 1),
    }))
    .where('uid', '=', upload.uid)
    .where('fence', '=', upload.fence)
    .where('handle', '=', upload.handle)
    .where('offset', '=', upload.offset)
    .where((where) => where.or([where('lease_owner', 'is', null), where('lease_until', '<', lease.nowMicros)]))
    .returning('fence');
  const rows = await sendAhead<{ fence: number }>(tx, query.compile());
  return async () => (await rows())[0]?.fence;
}

/** Keeps the hold of a long request; false when it was lost. */
export async function renewUpload(tx: Transaction, upload: Upload, nowMicros: number): Promise<boolean> {
  const row = await tx
    .updateTable('uploads')
    .set({ lease_until: nowMicros + uploadLeaseMicros })
    .where('uid', '=', upload.uid)
    .where('fence', '=', upload.fence)
    .where('lease_owner', 'is not', null)
    .returning('uid')
    .executeTakeFirst();
  return row !== undefined;
}

/** Names another handle that holds the bytes of a claimed upload; false when the hold was lost. */
export async function moveUpload(tx: Transaction, upload: Upload): Promise<boolean> {
  const row = await tx
    .updateTable('uploads')
    .set({ handle: upload.handle, parts: JSON.stringify(upload.tokens) })
    .where('uid', '=', upload.uid)
    .where('fence', '=', upload.fence)
    .where('lease_owner', 'is not', null)
    .returning('uid')
    .executeTakeFirst();
  return row !== undefined;
}

/** Gives a claimed upload back, with what the request added, as `sendAhead`; the answer is false when the hold was lost. */
export async function releaseUpload(
  tx: Transaction,
  upload: Upload,
  times: { readonly nowMicros: number; readonly expiresMicros: number },
): Promise<() => Promise<boolean>> {
  const query = tx
    .updateTable('uploads')
    .set({
      offset: upload.offset,
      parts: JSON.stringify(upload.tokens),
      lease_owner: null,
      lease_until: 0,
      changed_at: times.nowMicros,
      expires_at: times.expiresMicros,
    })
    .where('uid', '=', upload.uid)
    .where('fence', '=', upload.fence)
    .where('lease_owner', 'is not', null)
    .where('handle', '<>', '')
    .returning('uid');
  const rows = await sendAhead(tx, query.compile());
  return async () => (await rows()).length > 0;
}

/** Ends a session but keeps its row until it expires, so that a late request is told; false when the hold was lost. */
export async function endUpload(
  tx: Transaction,
  upload: { readonly uid: string; readonly fence: number },
): Promise<boolean> {
  const row = await tx
    .updateTable('uploads')
    .set({ handle: '', parts: '[]', lease_owner: null, lease_until: 0 })
    .where('uid', '=', upload.uid)
    .where('fence', '=', upload.fence)
    .where('handle', '<>', '')
    .returning('uid')
    .executeTakeFirst();
  return row !== undefined;
}
