import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

/** What the thread is asked: a checkpoint beside writers, one that holds them off, or to end. */
export type CheckpointRequest = 'passive' | 'full' | 'close';
/** `fault` is set when it failed. Having to leave something for the next time is no failure. */
export type CheckpointAnswer = { readonly fault: string | undefined };

/** How long a `full` one waits for writers and readers of other processes. */
const waitMs = 2_000;

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
    db.prepare(`pragma wal_checkpoint(${mode})`).get();
    return { fault: undefined };
  } catch (error) {
    return { fault: String(error) };
  }
}
