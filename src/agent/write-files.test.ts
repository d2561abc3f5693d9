import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { programPath } from './executors/user-cell.ts';
import { readProgram } from './program.ts';
import { writeFiles, writeInPlace } from './write-files.ts';

const folder = temporaryFolder('write-files');
after(() => folder.remove());
let programs = 0;
const cell: Parameters<typeof writeFiles>[0] = {
  folder: folder.path,
  read: async (words, { input } = {}) => {
    programs += 1;
    return await readProgram(words, { env: { PATH: programPath }, ...(input === undefined ? {} : { input }) });
  },
};
const modeOf = (path: string) => statSync(path).mode & 0o777;

test('one program writes files byte for byte, with their folders and rights', async () => {
  const at = (name: string) => join(folder.path, name);
  const long = `${'long-'.repeat(30)}name`;
  const bytes = Uint8Array.of(0, 255, 13, 10);
  await writeFiles(cell, [
    { path: at('etc/certs.d/r.example:5443/ca.crt'), bytes },
    { path: at(`a/${long}/--help`), bytes: new Uint8Array() },
    { path: at('secret'), bytes: new Uint8Array(100_000), mode: 0o600 },
  ]);
  assert.equal(programs, 1);
  assert.deepEqual([...readFileSync(at('etc/certs.d/r.example:5443/ca.crt'))], [...bytes]);
  assert.equal(modeOf(at('etc/certs.d/r.example:5443/ca.crt')), 0o644);
  assert.equal(readFileSync(at(`a/${long}/--help`)).length, 0);
  assert.equal(modeOf(at('secret')), 0o600);
  assert.equal(statSync(at('secret')).size, 100_000);
  await writeFiles(cell, [{ path: at('secret'), bytes }]);
  assert.equal(statSync(at('secret')).size, bytes.length);
  assert.equal(modeOf(at('secret')), 0o644);
  await writeFiles(cell, []);
  assert.equal(programs, 2);
});
test('files that are written in place stay the same for whoever has them open', async () => {
  const path = join(folder.path, 'hosts');
  const before = programs;
  await writeFiles(cell, [{ path, bytes: Buffer.from('a longer text\n') }]);
  const file = openSync(path, 'r');
  await writeInPlace(cell, [{ path, bytes: Buffer.from('short\n') }]);
  assert.equal(readFileSync(file, 'utf8'), 'short\n');
  closeSync(file);
  assert.equal(programs, before + 2);
});
