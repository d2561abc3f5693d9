import { randomBytes } from 'node:crypto';
import { open, opendir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { makeFolder } from '../make-folder.ts';
import { errorCode, storageError } from './storage-error.ts';
import { checkedNoteName, isNoteName, type NoteEntry, type StoreNotes } from './store-notes.ts';

/** Not among the names of notes. */
const unfinishedEnding = '~';
/** What a killed process left of a note is removed then. */
const leftoverMs = 3_600_000;

/** The notes of a folder store: files in its folder `notes`. */
export function folderNotes(storeFolder: string, clock: Clock): StoreNotes {
  const folder = join(storeFolder, 'notes');
  const pathOf = (name: string) => join(folder, checkedNoteName(name));
  return {
    put: (name, bytes) => translated(() => writeWhole(folder, pathOf(name), bytes)),
    get: (name) => translated(() => orNothing(readFile(pathOf(name)))),
    list: (prefix) => entriesOf(folder, prefix, clock.nowMicros() / 1000),
    removeMany: (names) =>
      translated(async () => {
        for (const name of names) await rm(pathOf(name), { force: true });
      }),
  };
}

/** Whole or not there, also after a power loss; also when others write it at the same time, from containers with the same pid. */
async function writeWhole(folder: string, path: string, bytes: Uint8Array): Promise<void> {
  makeFolder(folder);
  const unfinished = `${path}.${randomBytes(8).toString('hex')}${unfinishedEnding}`;
  try {
    await using file = await open(unfinished, 'w', 0o600);
    await file.writeFile(bytes);
    await file.sync();
    await rename(unfinished, path);
  } catch (cause) {
    // On a full disk others wait for its bytes.
    await rm(unfinished, { force: true }).catch(() => {
      // `list` removes it later; the fault that brought us here is the one to tell.
    });
    throw cause;
  }
  await using directory = await open(folder);
  await directory.sync();
}

async function* entriesOf(folder: string, prefix: string, nowMs: number): AsyncGenerator<NoteEntry> {
  const directory = await translated(() => orNothing(opendir(folder)));
  if (directory === undefined) return;
  for await (const { name } of directory) {
    const found = name.startsWith(prefix) ? await orNothing(stat(join(folder, name))) : undefined;
    if (found === undefined) continue;
    if (isNoteName(name)) yield { name, sizeBytes: found.size };
    else if (name.endsWith(unfinishedEnding) && found.mtimeMs < nowMs - leftoverMs)
      await rm(join(folder, name), { force: true });
  }
}

async function orNothing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined;
    throw cause;
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw storageError(cause);
  }
}
