import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Longer than somebody looks who holds the folder: the look itself must not keep a server from starting. */
const lookMs = 200;

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
    try {
      makeFolder(this.path);
      chmodSync(this.path, 0o700);
      makeFolder(this.certificates);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`cannot make the data folder ${this.path}: ${reason}`, { cause });
    }
  }

  /**
   * Holds the folder until the process ends or `release` is called: an exclusive transaction on lock.sqlite, which the
   * system ends with the process, however it ends. Throws DataFolderInUse.
   */
  lock(): { readonly release: () => void } {
    const lock = new DatabaseSync(this.#lockFile, { timeout: lookMs });
    try {
      lock.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      lock.close();
      if (!isLocked(error)) throw error;
      throw new DataFolderInUse(this.path, readIfThere(this.#pidFile));
    }
    writeFileSync(this.#pidFile, `${process.pid}\n`);
    return { release: () => lock.close() };
  }

  /** The process that holds the folder; undefined when none does, or this user cannot look. */
  holder(): string | undefined {
    if (!existsSync(this.#lockFile)) return undefined;
    let lock: DatabaseSync | undefined;
    try {
      lock = new DatabaseSync(this.#lockFile, { readOnly: true, timeout: 0 });
      lock.exec('SELECT count(*) FROM sqlite_schema');
      return undefined;
    } catch (error) {
      return isLocked(error) ? (readIfThere(this.#pidFile) ?? 'unknown') : undefined;
    } finally {
      lock?.close();
    }
  }

  get #lockFile(): string {
    return join(this.path, 'lock.sqlite');
  }

  get #pidFile(): string {
    return join(this.path, 'lock.pid');
  }
}

/** Not `recursive`: that tries for ever in a folder which says of a new entry that it itself does not exist, such as /proc. */
function makeFolder(path: string): void {
  if (isFolder(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!isFolder(path)) throw error;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
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
