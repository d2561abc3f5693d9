import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
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

// Node's own mkdir with `recursive` never comes back from there.
test('a folder that cannot be made is told', { skip: !existsSync('/proc/self') }, () => {
  assert.match(elsewhere('create', '/proc/berth/data'), /^cannot make the data folder \/proc\/berth\/data: ENOENT/);
});

test('a file in the place of the folder is told, and left as it is', (t) => {
  const path = mkdtempSync(join(tmpdir(), 'berth-folder-'));
  t.after(() => rmSync(path, { recursive: true }));
  const file = join(path, 'data');
  writeFileSync(file, 'mine');
  const { mode } = statSync(file);
  assert.throws(() => new DataFolder(file).create(), /cannot make the data folder .*: EEXIST/);
  assert.equal(statSync(file).mode, mode);
});

test('a folder is made with those above it, and made again without harm', (t) => {
  const path = mkdtempSync(join(tmpdir(), 'berth-folder-'));
  t.after(() => rmSync(path, { recursive: true }));
  const folder = new DataFolder(join(path, 'one', 'two'));
  folder.create();
  folder.create();
  assert.ok(statSync(folder.certificates).isDirectory());
});

const lockElsewhere = (path: string) => elsewhere('lock', path);

/** What another process is told; it is killed when it does not end. */
function elsewhere(step: 'create' | 'lock', path: string): string {
  const script = `
    import { DataFolder } from ${JSON.stringify(join(import.meta.dirname, 'data-folder.ts'))};
    try { new DataFolder(process.argv[1]).${step}(); console.log('${step}ed'); } catch (error) { console.log(error.message); }`;
  const options = { encoding: 'utf8', timeout: 120_000, killSignal: 'SIGKILL' } as const;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script, path], options).stdout;
}
