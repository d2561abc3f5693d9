import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import { type BlobAccount, copyBlobs, type NamedBlob, namedBlobs, type Progress } from './copy-blobs.ts';
import { installationOf, journalHeadsOf } from './installation-row.ts';
import { forgetWorkUnderWay } from './restored-rows.ts';
import type { RowSink, RowSource } from './rows.ts';

export type MoveParts = {
  /** Each call sees the source as it is then. */
  readonly openSource: () => Promise<RowSource>;
  readonly openTarget: () => Promise<RowSource>;
  readonly sink: RowSink;
  readonly from: BlobStore;
  readonly to: BlobStore;
  /** Takes along what the one store was told beside blobs, before the rows are read: it says nothing that they do not. */
  readonly takeAlong: () => Promise<void>;
  readonly progress: Progress;
};

export type MoveAccount = {
  readonly rowsByTable: ReadonlyMap<string, number>;
  readonly blobs: BlobAccount;
  /** Streams that the source has written to since: the move is to be run again once nobody writes there. */
  readonly changedSince: readonly string[];
};

/**
 * Copies an installation to another database and store. The source goes on serving, also pushes; what they change meanwhile is told
 * in the account, and the next run brings it: blobs that are there already are not copied again. Cut off anywhere, it is run
 * again. Throws when the target holds another installation, or has gone on by itself.
 */
export async function move(parts: MoveParts): Promise<MoveAccount> {
  const first = await copyMost(parts);
  await parts.takeAlong();
  const source = await parts.openSource();
  try {
    await requireOwnCopy(source, parts.openTarget);
    const rest = await copyBlobs(await namedBlobs(source), parts.from, parts.to, parts.progress);
    const rowsByTable = await parts.sink.replaceAll(source, forgetWorkUnderWay);
    const blobs = {
      ...rest,
      copied: first.copied + rest.copied,
      copiedBytes: first.copiedBytes + rest.copiedBytes,
      present: Math.max(0, rest.present - first.copied),
    };
    return { rowsByTable, blobs, changedSince: await changedSince(source, parts.openSource) };
  } finally {
    await source.close();
  }
}

/**
 * Copies what the source names now while none of it is held open: a database keeps what changes for as long as somebody reads an older
 * moment, and this may take hours. What is pushed meanwhile is little, and left for the moment that the rows are of.
 */
async function copyMost({ openSource, openTarget, from, to, progress }: MoveParts): Promise<BlobAccount> {
  const source = await openSource();
  let blobs: NamedBlob[];
  try {
    await requireOwnCopy(source, openTarget);
    blobs = await namedBlobs(source);
  } finally {
    await source.close();
  }
  return await copyBlobs(blobs, from, to, progress);
}

/** The target is empty, or an older copy of this very source. */
async function requireOwnCopy(source: RowSource, openTarget: () => Promise<RowSource>): Promise<void> {
  const target = await openTarget();
  try {
    const held = await installationOf(target);
    if (held === undefined) return;
    if (held !== (await installationOf(source))) throw new Error('the target holds another installation');
    const ours = await journalHeadsOf(source);
    for (const [stream, theirs] of await journalHeadsOf(target)) {
      const head = ours.get(stream);
      if (head?.incarnation !== theirs.incarnation || head.seq < theirs.seq)
        throw new Error(`the target has gone on by itself (${stream}); it is not overwritten`);
    }
  } finally {
    await target.close();
  }
}

async function changedSince(source: RowSource, openSource: () => Promise<RowSource>): Promise<string[]> {
  const copied = await journalHeadsOf(source);
  const later = await openSource();
  try {
    const now = await journalHeadsOf(later);
    return [...now].flatMap(([stream, head]) => (copied.get(stream)?.seq === head.seq ? [] : [stream]));
  } finally {
    await later.close();
  }
}
