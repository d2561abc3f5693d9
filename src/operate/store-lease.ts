import type { StoreNotes } from '../platform/blob-store/store-notes.ts';
import type { Clock } from '../platform/clock.ts';
import type { Ids } from '../platform/ids.ts';
import { type BackupLock, BackupUnderWay } from './backup-place.ts';

export type LeaseParts = { readonly notes: StoreNotes; readonly clock: Clock; readonly ids: Ids };

const lockPrefix = 'backup-lock.';
const readerPrefix = 'backup-reader.';
const renewMs = 60_000;
/** A note that was not renewed for so long is that of a command that was killed. */
const staleMicros = 600_000_000;

/** One backup at a time. Each writes its own note and then looks for others: of two at once, at least one sees the other. */
export async function lockStore(parts: LeaseParts): Promise<BackupLock> {
  const { name, ...lock } = await takeLease(parts, lockPrefix);
  try {
    if (await isHeld(parts, lockPrefix, name)) throw new BackupUnderWay();
    return lock;
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Says that blobs of a store are being read. A restore writes its note and then looks which snapshots there are; a backup that
 * removes looks for notes after it has removed snapshots and before it removes blobs: one of the two sees the other.
 */
export async function readStore(parts: LeaseParts): Promise<AsyncDisposable> {
  return await takeLease(parts, readerPrefix);
}

export async function isStoreRead(parts: LeaseParts): Promise<boolean> {
  return await isHeld(parts, readerPrefix, undefined);
}

/** A note that is renewed until it is disposed of. Once it was not renewed in time it is lost for good, as others may have gone on. */
async function takeLease({ notes, clock, ids }: LeaseParts, prefix: string): Promise<BackupLock & { name: string }> {
  const name = `${prefix}${ids.uid()}`;
  let isLost = false;
  let untilMicros = 0;
  const write = async () => {
    const nowMicros = clock.nowMicros();
    await notes.put(name, Buffer.from(String(nowMicros)));
    untilMicros = nowMicros + staleMicros;
  };
  const confirm = async () => {
    const before = untilMicros;
    isLost ||= clock.nowMicros() >= before || (await notes.get(name)) === undefined;
    if (!isLost) await write();
    isLost ||= clock.nowMicros() >= before;
    if (isLost)
      throw new Error('this backup stood still for too long, and others may have removed what it copied: run it again');
  };
  await write();
  const ended = new AbortController();
  const renewing = renewUntil(ended.signal, clock, confirm);
  return {
    name,
    confirm,
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await renewing;
      await notes.removeMany([name]);
    },
  };
}

async function renewUntil(signal: AbortSignal, clock: Clock, renew: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(renewMs, signal).catch(() => {
      // The command has ended.
    });
    if (signal.aborted) return;
    await renew().catch(() => {
      // The next turn is long before it counts as stale; once lost it stays so, and `confirm` says it where it matters.
    });
  }
}

/** Whether others hold one; removes what killed commands left. */
async function isHeld({ notes, clock }: LeaseParts, prefix: string, own: string | undefined): Promise<boolean> {
  for await (const { name } of notes.list(prefix)) {
    if (name === own) continue;
    const since = Number(Buffer.from((await notes.get(name)) ?? '0').toString());
    if (since > clock.nowMicros() - staleMicros) return true;
    await notes.removeMany([name]);
  }
  return false;
}
