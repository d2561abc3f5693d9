import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRegistryName, registryKey, reservedRegistryNames } from './registry-name.ts';

const good = ['local', 'contoso', 'Contoso1', '12345', 'a'.repeat(50)];

const bad: readonly [why: string, text: string][] = [
  ['empty', ''],
  ['too short', 'acme'],
  ['too long', 'a'.repeat(51)],
  ['a dash', 'con-toso'],
  ['a dot', 'con.toso'],
  ['a space', 'con toso'],
  ['a slash', 'con/toso'],
  ['NUL', 'contoso\0'],
  ['a line break at the end', 'contoso\n'],
  ['a letter outside ASCII', 'contosö'],
  ['a letter whose lower case is ASCII', 'porta\u212a'],
];

for (const text of good) {
  test(`${text} is a registry name`, () => assert.equal(parseRegistryName(text), text));
}

for (const [why, text] of bad) {
  test(`a registry name is refused: ${why}`, () => {
    assert.throws(() => parseRegistryName(text), { error: 'registryNameInvalid' });
  });
}

for (const text of reservedRegistryNames) {
  test(`${text} is reserved, however it is spelled`, () => {
    assert.throws(() => parseRegistryName(text), { error: 'registryNameInvalid' });
    assert.throws(() => parseRegistryName(text.toUpperCase()), { error: 'registryNameInvalid' });
  });
}

test('registry names are compared in lower case', () => assert.equal(registryKey('ConToso'), 'contoso'));
