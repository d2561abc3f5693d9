import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemIds } from '../system-ids.ts';
import { MasterKeyError, parseMasterKeys, readMasterKeyFile, readOrCreateMasterKeyFile } from './master-keys.ts';

const folder = mkdtempSync(join(tmpdir(), 'berth-keys-'));
after(() => rmSync(folder, { recursive: true }));
const one = Buffer.alloc(32, 1).toString('base64');
const two = Buffer.alloc(32, 2).toString('base64url');

test('the first start makes a key that only its owner can read, the next ones keep it', () => {
  const path = join(folder, 'made.key');
  const [made] = readOrCreateMasterKeyFile(path, systemIds);
  assert.equal(made.bytes.length, 32);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readOrCreateMasterKeyFile(path, systemIds), [made]);
  assert.deepEqual(readdirSync(folder), ['made.key']);
});

test('several keys are read, the newest first, with different ids', () => {
  const [newest, ...older] = parseMasterKeys(`${one}\n${two}\n`);
  assert.deepEqual(Buffer.from(newest.bytes), Buffer.alloc(32, 1));
  assert.equal(older.length, 1);
  assert.notDeepEqual(newest.id, older[0]?.id);
  assert.deepEqual(parseMasterKeys(`${one},${two}`), [newest, ...older]);
});

for (const [label, text] of [
  ['empty', ' \n'],
  ['too short', Buffer.alloc(31).toString('base64')],
  ['too long', Buffer.alloc(33).toString('base64')],
  ['not base64', `${one.slice(0, -2)}!=`],
  ['one good, one bad', `${one} x`],
] as const) {
  test(`a master key that is ${label} is refused, and not repeated`, () => {
    assert.throws(
      () => parseMasterKeys(text),
      (error) => error instanceof MasterKeyError && !error.message.includes(one.slice(0, 8)),
    );
  });
}

test('a key file that others can read, or that is missing, is refused', () => {
  const path = join(folder, 'open.key');
  writeFileSync(path, one, { mode: 0o600 });
  readMasterKeyFile(path);
  for (const mode of [0o640, 0o604, 0o660]) {
    chmodSync(path, mode);
    assert.throws(() => readMasterKeyFile(path), /0600/);
    assert.throws(() => readOrCreateMasterKeyFile(path, systemIds), /0600/);
  }
  assert.throws(() => readMasterKeyFile(join(folder, 'none.key')), MasterKeyError);
  assert.equal(readFileSync(path, 'utf8'), one);
});
