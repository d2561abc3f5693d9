import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new empty folder of this process; `using` or its `remove` deletes it with all it holds. */
export function temporaryFolder(name: string): { readonly path: string; remove(): void; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), `berth-${name}-`));
  const remove = () => removeFolder(path);
  return { path, remove, [Symbol.dispose]: remove };
}

/** Deletes a folder with all it holds, after unmounting what container tools left mounted in it. */
export function removeFolder(path: string): void {
  for (const mount of mountsBelow(path)) execFileSync('umount', ['--lazy', mount]);
  rmSync(path, { recursive: true, force: true, maxRetries: 5 });
}

/** Mount points at or below a path, innermost first. Source: proc(5), "/proc/pid/mounts". */
function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[1] ?? [])
    .filter((mount) => mount === path || mount.startsWith(`${path}/`))
    .reverse();
}
