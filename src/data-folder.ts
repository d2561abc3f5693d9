import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Another process works on the data folder. */
export class DataFolderInUse extends Error {
  constructor(folder: string, holder: string | undefined) {
    super(
      `${folder} is in use by ${holder === undefined ? 'another process' : `the process ${holder}`}; stop it first`,
    );
    this.name = 'DataFolderInUse';
  }
}

/** Where everything in a data folder is: bootstrap.json, lock.sqlite, lock.pid, berth.sqlite, master.key, certificates/, ca-bundle.pem. */
export class DataFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get bootstrap(): string {
    return join(this.path, 'bootstrap.json');
  }

  /** The same, until the database holds what it says. */
  get unfinishedBootstrap(): string {
    return join(this.path, 'bootstrap.unfinished.json');
  }

  get database(): string {
    return join(this.path, 'berth.sqlite');
  }

  get masterKey(): string {
    return join(this.path, 'master.key');
  }

  get certificates(): string {
    return join(this.path, 'certificates');
  }

  /** Public authorities and ours in one file, for programs that believe nothing else. */
  get caBundle(): string {
    return join(this.path, 'ca-bundle.pem');
  }

  create(): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    chmodSync(this.path, 0o700);
    mkdirSync(this.certificates, { recursive: true, mode: 0o700 });
  }

  /**
   * Holds the folder until the process ends or `release` is called: an exclusive transaction on lock.sqlite, which the
   * system ends with the process, however it ends. Throws DataFolderInUse.
   */
  lock(): { readonly release: () => void } {
    const pidFile = join(this.path, 'lock.pid');
    const lock = new DatabaseSync(join(this.path, 'lock.sqlite'), { timeout: 0 });
    try {
      lock.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      lock.close();
      if (!isLocked(error)) throw error;
      throw new DataFolderInUse(this.path, readIfThere(pidFile));
    }
    writeFileSync(pidFile, `${process.pid}\n`);
    return { release: () => lock.close() };
  }
}

function isLocked(error: unknown): boolean {
  // Source: SQLite result codes, SQLITE_BUSY.
  return error instanceof Error && 'errcode' in error && error.errcode === 5;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    // Written just after the lock is taken: it may not be there yet.
    return undefined;
  }
}
