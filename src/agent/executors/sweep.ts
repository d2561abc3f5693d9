import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupNames, removeCgroup } from './cgroup.ts';

/** Names the agent that owns a run's folder: its process, and when that began, as the kernel counts. */
export const ownerFile = 'owner';

const makingMs = 30_000;

/** `1234 567890`: the id alone may be given to another process later. */
export async function ownMark(id: number = process.pid): Promise<string | undefined> {
  const text = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => undefined);
  // The program's name stands in parentheses and may hold anything. Source: proc(5), field 22.
  const started = text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  return started === undefined ? undefined : `${id} ${started}`;
}

/**
 * Removes what is left of runs whose agent is gone: processes, control groups, disks. Their mounts and networks went with
 * their last process. Runs of living agents are left alone, also those of another agent in the same folder.
 */
export async function sweepLeftovers(root: string, nowMs: number): Promise<void> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const groups = await cgroupNames();
  for (const name of names) {
    if (await isOwned(join(root, name), nowMs)) continue;
    if (groups.includes(name)) await removeCgroup(name);
    await rm(join(root, name), { recursive: true, force: true, maxRetries: 5 });
  }
}

async function isOwned(folder: string, nowMs: number): Promise<boolean> {
  const mark = (await readFile(join(folder, ownerFile), 'utf8').catch(() => '')).trim();
  if (mark !== '') return (await ownMark(Number(mark.split(' ')[0]))) === mark;
  // Being made this moment, or its agent was killed while making it.
  const { mtimeMs } = await stat(folder);
  return nowMs - mtimeMs < makingMs;
}
