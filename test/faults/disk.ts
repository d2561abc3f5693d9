import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

export type FileSystem = 'ext4' | 'xfs';

/**
 * A file system of its own in a file, mounted through a loop device. Needs root. Disposing unmounts and deletes it, also after
 * the file system was shut down.
 */
export class Disk {
  readonly path: string;
  readonly #image: string;
  readonly #options: string;
  readonly #remove: () => void;

  private constructor(parts: { path: string; image: string; options: string; remove: () => void }) {
    this.path = parts.path;
    this.#image = parts.image;
    this.#options = parts.options;
    this.#remove = parts.remove;
  }

  /** `make` are more arguments of mkfs, `options` of mount. */
  static async create(
    fileSystem: FileSystem,
    sizeMiB: number,
    { make = [], options = 'loop' }: { readonly make?: readonly string[]; readonly options?: string } = {},
  ): Promise<Disk> {
    const { path: folder, remove } = temporaryFolder('disk');
    const image = join(folder, 'image');
    const path = join(folder, 'mounted');
    mkdirSync(path);
    writeFileSync(image, '');
    truncateSync(image, sizeMiB * 1024 * 1024);
    const disk = new Disk({ path, image, options, remove });
    try {
      await run(`mkfs.${fileSystem}`, ['-q', ...make, image]);
      await disk.mount();
    } catch (error) {
      remove();
      throw error;
    }
    return disk;
  }

  async mount(): Promise<void> {
    await run('mount', ['-o', this.#options, this.#image, this.path]);
  }

  /** Waits for those that use it to end. */
  async unmount(): Promise<void> {
    await waitFor(`${this.path} is not in use`, 60_000, async () => {
      await run('umount', [this.path]);
      return true;
    });
  }

  /**
   * What a power loss leaves: nothing more reaches the image, not even the journal's buffers. `atThatMoment` is called just
   * before: on ext4 an fsync that is under way in that very moment may return success for bytes that are lost.
   * Source: xfs_io(8), "shutdown" without -f; ext4 takes the same call.
   */
  async losePower(atThatMoment: () => void): Promise<void> {
    const program = spawn('xfs_io', ['-x', this.path], { stdio: ['pipe', 'ignore', 'inherit'] });
    const ended = once(program, 'exit');
    await once(program, 'spawn');
    await sleep(20);
    atThatMoment();
    program.stdin.end('shutdown\nquit\n');
    await ended;
  }

  /** Writes until nothing more fits; returns what takes the bytes away again. */
  async fill(): Promise<() => void> {
    return await fill(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tryRun('umount', ['--lazy', this.path]);
    this.#remove();
  }
}

/** A file system in memory of a fixed size. Needs root. */
export class MemoryDisk {
  readonly path: string;
  readonly #remove: () => void;

  private constructor(path: string, remove: () => void) {
    this.path = path;
    this.#remove = remove;
  }

  static async create(sizeMiB: number): Promise<MemoryDisk> {
    const { path: folder, remove } = temporaryFolder('memory-disk');
    const path = join(folder, 'mounted');
    mkdirSync(path);
    const disk = new MemoryDisk(path, remove);
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', path]);
    } catch (error) {
      remove();
      throw error;
    }
    return disk;
  }

  async fill(): Promise<() => void> {
    return await fill(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tryRun('umount', ['--lazy', this.path]);
    this.#remove();
  }
}

/** Others may free or take some bytes meanwhile, so it fills until the file system says that nothing is left. */
async function fill(path: string): Promise<() => void> {
  const files: string[] = [];
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const { bavail, bsize } = statfsSync(path);
    if (bavail === 0) break;
    const file = join(path, `ballast-${attempt}`);
    files.push(file);
    const { code } = await tryRun('fallocate', ['-l', String(bavail * bsize), file]);
    if (code !== 0) await tryRun('dd', ['if=/dev/zero', `of=${file}`, 'bs=4k']);
  }
  return () => {
    for (const file of files) rmSync(file, { force: true });
  };
}
