import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache-folder.ts';
import { onceInCache } from './once-in-cache.ts';
import { run } from './run.ts';

/** A newer Azure CLI than Debian's 2.45. */
export const newestAzVersion = '2.91.0';

/** Called by its folder, which moves after it was made: the programs that pip writes name the old one. */
const launcher = '#!/bin/sh\nexec "$(dirname "$0")/python" -Im azure.cli "$@"\n';

/**
 * The folder that holds `az` at the pinned version, from PyPI. The first time it is installed into the cache folder: about
 * 70 seconds and 400 MB on disk. Needs `python3` 3.10 or newer with its `venv`.
 */
export async function newestAz(): Promise<string> {
  const environment = await onceInCache(join(cacheFolder('az'), newestAzVersion), install);
  return join(environment, 'bin');
}

async function install(work: string): Promise<string> {
  const environment = join(work, 'az');
  await run('python3', ['-m', 'venv', environment]);
  // Modules are compiled when they are first used: compiling all of them takes longer than installing them.
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-compile', '--no-cache-dir'];
  await run(join(environment, 'bin/python'), [...pip, `azure-cli==${newestAzVersion}`], { timeoutMs: 900_000 });
  const program = join(environment, 'bin/az');
  writeFileSync(program, launcher);
  chmodSync(program, 0o755);
  return environment;
}
