import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { makeFolder } from './make-folder.ts';

test('folders are made with those above them, for their owner alone, and again without effect', () => {
  using folder = temporaryFolder('make-folder');
  const path = join(folder.path, 'a/b/c');
  makeFolder(path);
  makeFolder(path);
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test('where nothing can be made, the reason is told at once', () => {
  assert.throws(() => makeFolder('/proc/nothing/here'), /ENOENT.*\/proc\/nothing'/);
});
