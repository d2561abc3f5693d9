import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Of the processes that this one sees: a number means another process elsewhere. Empty where the system does not say. */
export function processNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
  } catch {
    return '';
  }
}

/**
 * A new folder for what Node compiles in this run of the tests. Those that runs left behind which were killed are removed; those of
 * another container that shares `folder` are not ours to judge.
 */
export function compiledFolder(folder = tmpdir()): string {
  const ours = `berth-compiled-${processNamespace()}-`;
  for (const name of readdirSync(folder)) {
    const [, pid] = name.startsWith(ours) ? (/^(\d+)-/.exec(name.slice(ours.length)) ?? []) : [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeIfOurs(join(folder, name));
  }
  return mkdtempSync(join(folder, `${ours}${process.pid}-`));
}

function removeIfOurs(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // That of another user, who will remove it.
  }
}
