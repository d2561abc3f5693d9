import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from './storage-error.ts';
import { markOf, type StoreMark } from './store-mark.ts';

/** The mark of a folder store: the file `installation` in its folder. */
export function folderMark(folder: string): StoreMark {
  const path = join(folder, 'installation');
  return {
    read: async () => {
      try {
        return markOf(await readFile(path));
      } catch (cause) {
        if (errorCode(cause) === 'ENOENT') return undefined;
        throw cause;
      }
    },
    write: async (owner) => {
      // Whole or not there; processes that start at once write the same.
      const unfinished = `${path}.${process.pid}`;
      await writeFile(unfinished, `${owner}\n`, { mode: 0o600 });
      await rename(unfinished, path);
    },
  };
}
