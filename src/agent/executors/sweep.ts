import { readdir, readFile, readlink, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupNames, removeCgroup } from './cgroup.ts';

/** Names the agent that owns a run's folder. */
export const ownerFile = 'owner';

const makingMs = 30_000;
/** Agents that see other processes than we do say so often that they live, with every sweep. */
const silentMs = 300_000;

/** `1234 567890 pid:[4026531836]`: a process, when it began, as the kernel counts, and where it is seen: the id alone may be given again. */
export async function ownMark(id: number = process.pid): Promise<string | undefined> {
  const text = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => undefined);
  // The program's name stands in parentheses and may hold anything. Source: proc(5), field 22.
  const started = text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  return started === undefined ? undefined : `${id} ${started} ${await readlink('/proc/self/ns/pid')}`;
}

/** Gives a folder of ours to the sweeps. */
export async function disown(folder: string): Promise<void> {
  await rm(join(folder, ownerFile), { force: true });
}

/**
 * Removes what is left of runs whose agent is gone: processes, control groups, disks. Their mounts and networks went with
 * their last process. Runs of living agents are left alone, also those of another agent in the same folder. Of a container
 * beside this one they are told apart by their time alone; so agents sweep every minute. What cannot be removed is told, and
 * left for the next sweep.
 */
export async function sweepLeftovers(
  root: string,
  nowMs: number,
  tellStuck: (folder: string, cause: unknown) => void,
): Promise<void> {
  const names = await foldersIn(root).catch(() => []);
  const left: string[] = [];
  // All that lives says so before anything is removed, which may take its time.
  for (const name of names) if (!(await isOwned(join(root, name), nowMs))) left.push(name);
  const groups = await cgroupNames();
  for (const name of left) {
    try {
      const isGone = !groups.includes(name) || (await removeCgroup(name));
      if (isGone) await rm(join(root, name), { recursive: true, force: true, maxRetries: 5 });
    } catch (cause) {
      tellStuck(join(root, name), cause);
    }
  }
}

/** Whether something is here that a sweep would remove. Throws when the folder cannot be read. */
export async function hasLeftovers(root: string, nowMs: number): Promise<boolean> {
  for (const name of await foldersIn(root)) if (!(await isOwned(join(root, name), nowMs))) return true;
  return false;
}

/** Of runs: whatever else is in the folder is none of ours. */
async function foldersIn(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

async function isOwned(folder: string, nowMs: number): Promise<boolean> {
  const file = join(folder, ownerFile);
  const mark = (await readFile(file, 'utf8').catch(() => '')).trim();
  // Being made this moment, or its agent was killed while making it.
  if (mark === '') return await isYounger(folder, nowMs - makingMs);
  const [id, , space] = mark.split(' ');
  // Older agents do not say where.
  if (space !== undefined && space !== (await readlink('/proc/self/ns/pid')))
    return await isYounger(file, nowMs - silentMs);
  const isAlive = (await ownMark(Number(id)))?.startsWith(mark) === true;
  if (isAlive && Number(id) === process.pid) await utimes(file, nowMs / 1000, nowMs / 1000);
  return isAlive;
}

/** Not for what was removed meanwhile. */
async function isYounger(path: string, thanMs: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && found.mtimeMs > thanMs;
}
