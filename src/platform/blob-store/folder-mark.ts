import { randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from './storage-error.ts';
import { markOf, type StoreMark } from './store-mark.ts';

/** The mark of a folder store: the file `installation` in its folder. */
export function folderMark(folder: string): StoreMark {
  const path = join(folder, 'installation');
  return {
    read: async () => {
      try {
        // An empty one is what a power loss leaves of a mark that was being written.
        return markOf(await readFile(path)) || undefined;
      } catch (cause) {
        if (errorCode(cause) === 'ENOENT') return undefined;
        throw cause;
      }
    },
    write: async (owner) => {
      // Whole or not there, also after a power loss; processes that start at once write the same, also from containers that have the same number.
      const unfinished = `${path}.${randomBytes(8).toString('hex')}`;
      await using file = await open(unfinished, 'w', 0o600);
      await file.writeFile(`${owner}\n`);
      await file.sync();
      await rename(unfinished, path);
      await using directory = await open(folder);
      await directory.sync();
    },
  };
}
