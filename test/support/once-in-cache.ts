import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
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
  const lock = `${path}.lock`;
  await waitFor(`${path} is there or free to be made`, buildTimeoutMs, () => existsSync(path) || takeLock(lock));
  if (existsSync(path)) return path;
  const work = mkdtempSync(join(dirname(path), 'build-'));
  try {
    renameSync(await build(work), path);
    return path;
  } finally {
    removeFolder(work);
    rmSync(lock, { force: true });
  }
}

function takeLock(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    // Held by another process; when that one is gone, the next attempt finds the lock free.
    if (!isAlive(readFileSync(lock, 'utf8'))) rmSync(lock, { force: true });
    return false;
  }
}

function isAlive(pid: string): boolean {
  return pid === '' || existsSync(`/proc/${pid}`);
}
