import { closeSync, fchmodSync, fsyncSync, linkSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Ids } from '../ids.ts';

export type NewFile = { readonly path: string; readonly text: string; readonly mode: number; readonly ids: Ids };

/**
 * Makes a file that appears whole and survives a power loss, or not at all. Does nothing when the file exists: of two
 * processes that start at once the first one's stays, and both read it afterwards.
 */
export function createDurableFile({ path, text, mode, ids }: NewFile): void {
  const temporary = `${path}.${ids.uid()}`;
  try {
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      writeFileSync(fd, text);
      fchmodSync(fd, mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    linkUnlessThere(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
  syncFolder(dirname(path));
}

function linkUnlessThere(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause;
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
