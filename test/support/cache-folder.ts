import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where the tests keep what is dear to make again and never changes: built Go programs, the Debian base image.
 * `$XDG_CACHE_HOME/berth-tests`, or `~/.cache/berth-tests`; deleting it costs time only.
 */
export function cacheFolder(...below: readonly string[]): string {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'berth-tests', ...below);
  mkdirSync(folder, { recursive: true });
  return folder;
}
