import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { missingPrograms } from './check-host.ts';

const folder = temporaryFolder('check-host');
after(() => folder.remove());

test('each program that agents start is told where it is in no folder, with what brings it', async () => {
  const bin = join(folder.path, 'bin');
  mkdirSync(bin);
  for (const name of ['tar', 'git']) writeFileSync(join(bin, name), '', { mode: 0o755 });
  writeFileSync(join(bin, 'ip'), 'no program', { mode: 0o644 });
  const missing = await missingPrograms([join(folder.path, 'none'), bin]);
  assert.ok(missing.includes('getent is missing: apt install libc-bin'));
  assert.ok(missing.includes('ip is missing: apt install iproute2'));
  assert.deepEqual(
    missing.map((line) => line.split(' ')[0]),
    ['buildah', 'unshare', 'nsenter', 'setpriv', 'prlimit', 'getent', 'mkfs.ext4', 'ip'],
  );
});
