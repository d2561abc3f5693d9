import { readdirSync, readFileSync } from 'node:fs';

/** The processes that this one has started. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

/** One of which no thread runs any more, and whose end nobody has asked for yet, is not. Source: proc(5), "/proc/pid/stat". */
export function isAlive(pid: number): boolean {
  try {
    const hasEnded = /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return !hasEnded || readdirSync(`/proc/${pid}/task`).length > 1;
  } catch {
    return false;
  }
}
