import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBerth } from '../test/support/berth-server.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';

const berth = join(import.meta.dirname, '../bin/berth');
/** Node tells of each source whether it took it from the cache. */
const env = { NODE_COMPILE_CACHE: '', NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };

test('a server compiles its sources at its first start, and not at the next, though it was killed', async () => {
  using folder = temporaryFolder('compiled');
  const dataFolder = join(folder.path, 'data');
  await using server = await startBerth({ env, dataFolder });
  assert.ok(!server.log().includes('/src/main.ts was accepted'), 'the first start found nothing');
  await server.kill();
  const begin = server.log().length;
  const next = await startBerth(server.again);
  await next.stop();
  for (const name of ['src/main.ts', 'src/api/oci/oci-routes.ts', 'node_modules/hono/dist/hono.js'])
    assert.ok(next.log().slice(begin).includes(`/${name} was accepted`), name);
});

test('a first start that comes to nothing leaves no data folder', () => {
  using folder = temporaryFolder('compiled');
  const dataFolder = join(folder.path, 'data');
  const { status } = spawnSync(berth, ['serve', '--data', dataFolder, '--http', 'nowhere'], { stdio: 'ignore' });
  assert.equal(status, 2);
  assert.ok(!existsSync(dataFolder));
});

test('workers read what the process that starts them has compiled', async () => {
  using folder = temporaryFolder('compiled');
  const dataFolder = join(folder.path, 'data');
  mkdirSync(dataFolder, { mode: 0o700 });
  await using server = await startBerth({ env, dataFolder, settings: { workers: '2' } });
  await server.stop();
  assert.ok(server.log().includes('/src/process-worker.ts was accepted'));
});
