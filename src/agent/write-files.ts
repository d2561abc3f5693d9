import { relative } from 'node:path/posix';
import { pack } from 'tar-stream';
import { bytesOf } from './context/archive.ts';
import type { Cell } from './executors/cell.ts';

export type CellFile = {
  /** Absolute, below the cell's folder. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /** 0644 unless. */
  readonly mode?: number;
};

type Target = Pick<Cell, 'read' | 'folder'>;

/** Writes files, and the folders that they lie in, by one program however many they are. Throws ProgramError. */
export async function writeFiles(cell: Target, files: readonly CellFile[], signal?: AbortSignal): Promise<void> {
  await extract(cell, files, [], signal);
}

/** Changes what is in files: they stay the same files for those who have them mounted. Throws ProgramError. */
export async function writeInPlace(cell: Target, files: readonly CellFile[]): Promise<void> {
  await extract(cell, files, ['--overwrite']);
}

async function extract(
  cell: Target,
  files: readonly CellFile[],
  options: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  if (files.length === 0) return;
  const archive = pack();
  for (const { path, bytes, mode = 0o644 } of files)
    archive.entry({ name: relative(cell.folder, path), mode }, Buffer.from(bytes));
  archive.finalize();
  await cell.read(['tar', '--extract', '--touch', ...options, '--directory', cell.folder, '--file', '-'], {
    input: bytesOf(archive),
    ...(signal === undefined ? {} : { signal }),
  });
}
