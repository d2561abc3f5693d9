import type { Cell } from './executors/cell.ts';
import { programPath } from './executors/user-cell.ts';

/** A program of Node outside the cell that counts within its limits, and sees nothing of our environment. */
export function besideCell(
  cell: Pick<Cell, 'beside'>,
  words: readonly string[],
): { readonly words: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const line = [process.execPath, ...words];
  return { words: cell.beside?.(line) ?? line, env: { PATH: programPath } };
}

/** Node gives up with SIGABRT at the limit of its heap, the kernel kills at that of the run. */
export function exitCodeOfMemory(code: number): boolean {
  return code === 134 || code === 137;
}
