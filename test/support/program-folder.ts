import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A folder with one program: that command line, called by another name. For programs that start others by their names. */
export function programFolder(
  folder: string,
  name: string,
  { command, args }: { readonly command: string; readonly args: readonly string[] },
): string {
  mkdirSync(folder, { recursive: true });
  const words = [command, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
  const file = join(folder, name);
  // Below it the name stands for the machine's own program again.
  writeFileSync(file, `#!/bin/sh\nPATH='${process.env.PATH}'\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(file, 0o755);
  return folder;
}
