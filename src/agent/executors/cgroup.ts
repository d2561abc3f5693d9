import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { RunFailure } from '../run-failure.ts';
import type { CellLimits } from './cell.ts';

const mount = '/sys/fs/cgroup';
/** All that agents make lies below groups of this name, so that leftovers are known as ours. */
const parent = 'berth-agent';
/** Of version 2: a group whose parts have limits holds no process itself. Source: cgroups(7), "no internal processes". */
const membersPart = 'run';
const controllers = ['memory', 'pids', 'cpu', 'cpuacct'] as const;
const mebibyte = 1024 * 1024;
const periodMicros = 100_000;
/** Of all runs of a machine together beside any other group or process, where processors are short: a quarter of what one of those gets. */
const weight = { 'cpu.shares': '256', 'cpu.weight': '25' } as const;
const removeTries = 100;

/** Version 2 has one tree, version 1 one for each controller. Source: cgroups(7). */
const isUnified = () => existsSync(join(mount, 'cgroup.controllers'));

/** A control group that holds all processes of one run. */
export type Cgroup = {
  /** A process that writes its id into each of these belongs to it. */
  readonly memberFiles: readonly string[];
  /** Throws RunFailure where the kernel holds no part of it. */
  readonly part: (cpus: number) => Promise<CgroupPart>;
  readonly cpuSeconds: () => Promise<number | undefined>;
  /** How often what is in it met a limit; 0 where the kernel does not count. */
  readonly refusals: () => Promise<{ readonly memory: number; readonly processes: number }>;
  /** Kills what is in it and removes it; false where something in it does not end in time. */
  readonly remove: () => Promise<boolean>;
};

/** Processes of a run that use at most so many processors together. What is left in it ends with it. */
export type CgroupPart = AsyncDisposable & Pick<Cgroup, 'memberFiles'>;

/** Makes the group of a run. Throws when this machine lets us make none. */
export async function createCgroup(name: string, limits: CellLimits): Promise<Cgroup> {
  const folders = foldersOf(name);
  if (isUnified()) await shareControllers();
  for (const folder of folders) await mkdir(folder, { recursive: true });
  await giveWay();
  await setLimits(name, limits);
  const homes = isUnified() ? [await makeMembersPart(name)] : folders;
  const memberFiles = homes.map((folder) => join(folder, 'cgroup.procs'));
  let parts = 0;
  return {
    memberFiles,
    part: async (cpus) => {
      parts += 1;
      const folder = await makePart(join(name, `part-${parts}`), cpus);
      return {
        // Where controllers are mounted together, the last one counts.
        memberFiles: [...memberFiles, join(folder, 'cgroup.procs')],
        [Symbol.asyncDispose]: async () => void (await removeFolders([folder])),
      };
    },
    cpuSeconds: () => cpuSecondsOf(name),
    refusals: async () => ({
      memory: await countIn(fileOf(name, 'memory', isUnified() ? 'memory.events' : 'memory.oom_control'), 'oom_kill'),
      processes: await countIn(fileOf(name, 'pids', 'pids.events'), 'max'),
    }),
    remove: () => removeFolders(folders),
  };
}

/** Names of groups that agents made on this machine. */
export async function cgroupNames(): Promise<readonly string[]> {
  const roots = isUnified() ? [join(mount, parent)] : controllers.map((controller) => join(mount, controller, parent));
  const found = await Promise.all(
    roots.map(async (root) => {
      const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
      return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    }),
  );
  return [...new Set(found.flat())];
}

/** False where something in it does not end in time. */
export async function removeCgroup(name: string): Promise<boolean> {
  return await removeFolders(foldersOf(name));
}

function foldersOf(name: string): string[] {
  if (isUnified()) return [join(mount, parent, name)];
  // Where controllers are mounted together, one folder serves both.
  return controllers
    .filter((controller) => existsSync(join(mount, controller)))
    .map((each) => join(mount, each, parent, name));
}

async function shareControllers(): Promise<void> {
  await writeFile(join(mount, 'cgroup.subtree_control'), '+memory +pids +cpu');
  await mkdir(join(mount, parent), { recursive: true });
  await writeFile(join(mount, parent, 'cgroup.subtree_control'), '+memory +pids +cpu');
}

/** Who pulls does not wait for builds on the same machine. */
async function giveWay(): Promise<void> {
  const file = isUnified() ? 'cpu.weight' : 'cpu.shares';
  await ifThere(writeFile(fileOf('', 'cpu', file), weight[file]));
}

async function makeMembersPart(name: string): Promise<string> {
  const group = join(mount, parent, name);
  await writeFile(join(group, 'cgroup.subtree_control'), '+cpu');
  await mkdir(join(group, membersPart));
  return join(group, membersPart);
}

async function makePart(name: string, cpus: number): Promise<string> {
  const folder = fileOf(name, 'cpu', '');
  try {
    // Not what it lies in: that is gone where the run has ended.
    await mkdir(folder);
    await setProcessors(name, cpus);
  } catch (cause) {
    await removeFolders([folder]);
    throw new RunFailure(`this machine cannot hold a step to ${cpus} processors${codeOf(cause)}: leave cpus out`, {
      cause,
    });
  }
  return folder;
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? ` (${cause.code})` : '';
}

async function setProcessors(name: string, cpus: number): Promise<void> {
  const quota = Math.max(1_000, Math.round(cpus * periodMicros));
  const set = (file: string, value: string) => writeFile(fileOf(name, 'cpu', file), value);
  if (isUnified()) return await set('cpu.max', `${quota} ${periodMicros}`);
  await set('cpu.cfs_period_us', String(periodMicros));
  await set('cpu.cfs_quota_us', String(quota));
}

async function setLimits(name: string, { cpus, memoryMiB, processes }: CellLimits): Promise<void> {
  const memory = String(memoryMiB * mebibyte);
  if (isUnified()) {
    const set = (file: string, value: string) => writeFile(join(mount, parent, name, file), value);
    await set('memory.max', memory);
    await ifThere(set('memory.swap.max', '0'));
    await set('pids.max', String(processes));
    return await setProcessors(name, cpus);
  }
  const set = (controller: string, file: string, value: string) =>
    writeFile(join(mount, controller, parent, name, file), value);
  await set('memory', 'memory.limit_in_bytes', memory);
  // Memory and swap together; not less than memory alone.
  await ifThere(set('memory', 'memory.memsw.limit_in_bytes', memory));
  await set('pids', 'pids.max', String(processes));
  await setProcessors(name, cpus);
}

/** Kernels that do not count swap have no file for its limit. */
async function ifThere(setting: Promise<void>): Promise<void> {
  await setting.catch((cause: unknown) => {
    const isMissing = cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'EACCES');
    if (!isMissing) throw cause;
  });
}

async function cpuSecondsOf(name: string): Promise<number | undefined> {
  try {
    if (!isUnified())
      return Number(await readFile(join(mount, 'cpuacct', parent, name, 'cpuacct.usage'), 'utf8')) / 1e9;
    const text = await readFile(join(mount, parent, name, 'cpu.stat'), 'utf8');
    return Number(/^usage_usec (\d+)/m.exec(text)?.[1] ?? 0) / 1e6;
  } catch {
    // Figures are told where the kernel has them.
    return undefined;
  }
}

function fileOf(name: string, controller: (typeof controllers)[number], file: string): string {
  return isUnified() ? join(mount, parent, name, file) : join(mount, controller, parent, name, file);
}

/** Of a file with a word and a number in each line. */
async function countIn(file: string, word: string): Promise<number> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const line = text.split('\n').find((each) => each.startsWith(`${word} `));
  return Number(line?.slice(word.length + 1) ?? 0);
}

async function removeFolders(folders: readonly string[]): Promise<boolean> {
  for (const folder of folders) {
    for (let tries = 0; existsSync(folder) && tries < removeTries; tries += 1) {
      for (const each of [...(await partsOf(folder)), folder]) {
        await killMembers(each);
        await rmdir(each).catch(() => {
          // What is in it ends yet.
        });
      }
      if (existsSync(folder)) await delay(20);
    }
  }
  return !folders.some((folder) => existsSync(folder));
}

async function partsOf(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
}

async function killMembers(folder: string): Promise<void> {
  const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
  for (const line of text.split('\n')) {
    const id = Number(line);
    if (Number.isInteger(id) && id > 1) killIfThere(id);
  }
}

function killIfThere(id: number): void {
  try {
    process.kill(id, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
