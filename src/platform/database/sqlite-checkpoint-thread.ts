import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { isSqliteIoError } from './sqlite-fault.ts';

/** What the thread is asked: a checkpoint beside writers, one that holds them off, or to end. */
export type CheckpointRequest = 'passive' | 'full' | 'close';
/** `busy`: others read or write the file, so the WAL could not be moved as far as was asked. `isDiskFault`: see `SyncFailed`. */
export type CheckpointAnswer =
  | { readonly kind: 'done' | 'busy' }
  | { readonly kind: 'failed'; readonly fault: string; readonly isDiskFault: boolean };

/** How long a `full` one waits for writers and readers of other processes: for readers it holds off all writers. */
const waitMs = 100;

// The body of a thread of `SqliteCheckpoints`, with a connection of its own to the file in `workerData`.
const db = new DatabaseSync(String(workerData), { timeout: waitMs });
// A checkpoint syncs the WAL before and the database file after, unless this is off.
db.exec('pragma synchronous = full');

parentPort?.on('message', (request: CheckpointRequest) => {
  if (request === 'close') {
    db.close();
    parentPort?.close();
  } else parentPort?.postMessage(checkpoint(request));
});

function checkpoint(mode: 'passive' | 'full'): CheckpointAnswer {
  try {
    const { busy } = db.prepare(`pragma wal_checkpoint(${mode})`).get() ?? {};
    return { kind: busy === 0 ? 'done' : 'busy' };
  } catch (error) {
    return { kind: 'failed', fault: String(error), isDiskFault: isSqliteIoError(error) };
  }
}
