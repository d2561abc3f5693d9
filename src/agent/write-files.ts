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

/** Writes files, and the folders that they lie in, by one program however many they are. Throws ProgramError. */
export async function writeFiles(
  cell: Pick<Cell, 'read' | 'folder'>,
  files: readonly CellFile[],
  signal?: AbortSignal,
): Promise<void> {
  if (files.length === 0) return;
  const archive = pack();
  for (const { path, bytes, mode = 0o644 } of files)
    archive.entry({ name: relative(cell.folder, path), mode }, Buffer.from(bytes));
  archive.finalize();
  await cell.read(['tar', '--extract', '--touch', '--directory', cell.folder, '--file', '-'], {
    input: bytesOf(archive),
    ...(signal === undefined ? {} : { signal }),
  });
}
