import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache-folder.ts';
import { onceInCache } from './once-in-cache.ts';
import { run } from './run.ts';

const module = 'github.com/buildpacks/lifecycle';
const version = 'v0.20.5';

/**
 * A folder with the lifecycle of Cloud Native Buildpacks as builders have it: `lifecycle` and `launcher`, at a pinned version,
 * built into the cache the first time. Needs `go` on the PATH.
 */
export async function buildpackLifecycle(): Promise<string> {
  return await onceInCache(join(cacheFolder('go-tools'), `buildpack-lifecycle-${version}`), async (work) => {
    const options = { cwd: work, env: { CGO_ENABLED: '0', GOFLAGS: '-mod=mod' }, timeoutMs: 900_000 };
    await run('go', ['mod', 'init', 'build'], options);
    await run('go', ['mod', 'edit', '-require', `${module}@${version}`], options);
    for (const program of ['lifecycle', 'launcher']) {
      const line = ['build', '-trimpath', '-ldflags=-s -w', '-o', `made/${program}`, `${module}/cmd/${program}`];
      await run('go', line, options);
    }
    return join(work, 'made');
  });
}

/** Copies them to where a builder's Dockerfile takes them from. */
export async function copyLifecycle(folder: string): Promise<void> {
  cpSync(await buildpackLifecycle(), folder, { recursive: true });
}
