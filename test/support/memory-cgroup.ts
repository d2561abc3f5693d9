import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemIds } from '../../src/platform/system-ids.ts';
import { waitFor } from './wait-for.ts';

/** A group of processes that may hold so much memory. */
export type MemoryCgroup = AsyncDisposable & {
  /** Shell words that put the shell, and what it starts, into the group. */
  readonly enter: string;
  /** Processes that the system ended for their memory. */
  readonly kills: () => number;
};

const root = '/sys/fs/cgroup';

/** Undefined on a machine where this process may make no such group. */
export function memoryCgroup(limitBytes: number): MemoryCgroup | undefined {
  const isFirstVersion = existsSync(join(root, 'memory/memory.limit_in_bytes'));
  const folder = join(root, isFirstVersion ? 'memory' : '', `berth-test-${systemIds.uid()}`);
  try {
    mkdirSync(folder);
    writeFileSync(join(folder, isFirstVersion ? 'memory.limit_in_bytes' : 'memory.max'), String(limitBytes));
  } catch {
    // No right to, or no such controller: the caller says so.
    return undefined;
  }
  return {
    enter: `echo $$ > ${join(folder, 'cgroup.procs')}`,
    kills: () => {
      const file = join(folder, isFirstVersion ? 'memory.oom_control' : 'memory.events');
      const [, count = '0'] = /^oom_kill (\d+)$/m.exec(readFileSync(file, 'utf8')) ?? [];
      return Number(count);
    },
    // What was started in it may end a moment after its server.
    [Symbol.asyncDispose]: async () => {
      await waitFor(`${folder} is empty`, 60_000, () => {
        rmdirSync(folder);
        return true;
      });
    },
  };
}
