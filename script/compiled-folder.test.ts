import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { compiledFolder, processNamespace } from './compiled-folder.ts';

test('what a killed run of the tests has compiled leaves with the next run; that of one at work, or in another container, stays', () => {
  using folder = temporaryFolder('compiled');
  const { pid: gone } = spawnSync('true');
  const ours = `berth-compiled-${processNamespace()}`;
  const elsewhere = `berth-compiled-${processNamespace()}1-${gone}-abc123`;
  for (const name of [`${ours}-${gone}-abc123`, `${ours}-${process.ppid}-abc123`, elsewhere, 'berth-compiled-other']) {
    mkdirSync(join(folder.path, name));
    writeFileSync(join(folder.path, name, 'file'), '');
  }
  const own = compiledFolder(folder.path);
  const left = readdirSync(folder.path).map((name) => join(folder.path, name));
  assert.equal(left.length, 4);
  assert.ok(left.includes(own));
  assert.ok(left.includes(join(folder.path, elsewhere)));
  assert.ok(!left.some((path) => path.includes(`${ours}-${gone}-`)));
});
