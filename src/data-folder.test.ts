import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DataFolder } from './data-folder.ts';

test('a data folder has one holder, which the second one is told', (t) => {
  const path = mkdtempSync(join(tmpdir(), 'berth-folder-'));
  t.after(() => rmSync(path, { recursive: true }));
  const folder = new DataFolder(join(path, 'data'));
  folder.create();
  assert.equal(statSync(folder.path).mode & 0o777, 0o700);
  assert.equal(folder.holder(), undefined);
  const held = folder.lock();
  assert.equal(folder.holder(), String(process.pid));
  assert.match(lockElsewhere(folder.path), new RegExp(`in use by the process ${process.pid};`));
  held.release();
  assert.equal(folder.holder(), undefined);
  assert.equal(lockElsewhere(folder.path), 'locked\n');
});

function lockElsewhere(path: string): string {
  const script = `
    import { DataFolder } from ${JSON.stringify(join(import.meta.dirname, 'data-folder.ts'))};
    try { new DataFolder(process.argv[1]).lock(); console.log('locked'); } catch (error) { console.log(error.message); }`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script, path], { encoding: 'utf8' });
  return stdout;
}
