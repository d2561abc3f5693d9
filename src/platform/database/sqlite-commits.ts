import { closeSync, fdatasync as fdatasyncCallback, openSync } from 'node:fs';
import { promisify } from 'node:util';
import type { SqliteConnection } from './sqlite-connection.ts';

const fdatasync = promisify(fdatasyncCallback);

/** How the transactions of a `SqliteWriter` become durable (docs/decisions/sqlite-commit.md). */
export type SqliteCommits = {
  /**
   * Commits the open transaction. Resolves when it is on disk, or at once when `mustLast` is false; nobody sees it earlier.
   * Throws what SQLite throws, and nothing is committed then; throws SyncFailed when it is committed and may be lost.
   */
  readonly commit: (mustLast: boolean) => Promise<void>;
  readonly close: () => void;
};

/**
 * The system could not write the WAL, or what a checkpoint moved, to disk. What it held for the disk may be gone although a
 * second try would succeed, and all that is committed behind it would go with it: the process must end. The next start moves
 * what SQLite finds whole.
 */
export class SyncFailed extends Error {}

/** Each commit is synced by SQLite before anybody, in whatever process, can see it. The event loop waits for the disk. */
export function commitsInside(write: SqliteConnection): SqliteCommits {
  return { commit: async () => write.run('commit'), close: () => {} };
}

/**
 * The WAL is synced on another thread, while the event loop goes on. Until then the reading connection keeps to the state
 * before, so that nobody is told what a power loss could still undo. For a file that no other process reads.
 */
export function commitsBeside(write: SqliteConnection, read: SqliteConnection, walFile: string): SqliteCommits {
  write.leaveSyncToCaller();
  const wal = openSync(walFile, 'r');
  let writtenBefore = write.writtenRows();
  return {
    commit: async (mustLast) => {
      const written = write.writtenRows();
      const isEmpty = written === writtenBefore;
      writtenBefore = written;
      if (isEmpty || !mustLast) return write.run('commit');
      try {
        read.holdSnapshot();
        write.run('commit');
      } catch (error) {
        read.releaseSnapshot();
        throw error;
      }
      try {
        await fdatasync(wal);
      } catch (cause) {
        throw new SyncFailed('the database log could not be written to disk', { cause });
      }
      read.releaseSnapshot();
    },
    close: () => closeSync(wal),
  };
}
