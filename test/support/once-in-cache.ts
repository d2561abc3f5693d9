import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { keepName } from './kept-name.ts';
import { removeFolder } from './temporary-folder.ts';
import { waitFor } from './wait-for.ts';

const buildTimeoutMs = 20 * 60_000;

/**
 * A file or folder of the cache that is dear to make: returns `path`, and makes it first when it is not there. `build`
 * gets an empty folder to work in and returns the path below it of what it made, which then appears at `path` at once and
 * whole. Processes that want the same thing wait for the one that makes it; one that died is replaced.
 */
export async function onceInCache(path: string, build: (work: string) => Promise<string>): Promise<string> {
  if (existsSync(path)) return path;
  const name = `cache-${createHash('sha256').update(path).digest('hex')}`;
  // Asked once by itself: what keeps it from being asked for at all is told now, not after the wait.
  using _ =
    (await keepName(name)) ?? (await waitFor(`our turn to make ${path}`, buildTimeoutMs, () => keepName(name), 200));
  if (existsSync(path)) return path;
  const work = mkdtempSync(join(dirname(path), 'build-'));
  try {
    const made = await build(work);
    // Somebody in another network namespace, who does not see our name, may have been quicker.
    if (!existsSync(path)) renameSync(made, path);
    return path;
  } finally {
    removeFolder(work);
  }
}
