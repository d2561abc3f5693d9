import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHostName, placeOf } from './host-name.ts';

test('a Host header is a name or an address with an optional port', () => {
  assert.deepEqual(parseHostName('Local.Berth.localhost:5000'), { name: 'local.berth.localhost', port: 5000 });
  assert.deepEqual(parseHostName('127.0.0.1'), { name: '127.0.0.1', port: undefined });
  assert.deepEqual(parseHostName('[::1]:5443'), { name: '::1', port: 5443 });
});

test('anything else is no Host', () => {
  const bad = {
    empty: '',
    user: 'a@b',
    path: 'a/b',
    space: 'a b',
    brackets: '[a]',
    open: '[::1',
    port: 'a:b',
    bare: '::1',
  };
  for (const [label, text] of Object.entries(bad)) assert.equal(parseHostName(text), undefined, label);
});

test('a name stands for a part of the installation, or for nothing', () => {
  const kindOf = (name: string) => placeOf(name, 'berth.example')?.kind;
  assert.deepEqual(['localhost', '192.0.2.1', '::1'].map(kindOf), ['local', 'local', 'local']);
  assert.equal(kindOf('team.berth.example'), 'registry');
  assert.deepEqual(['management.berth.example', 'login.berth.example'].map(kindOf), ['control', 'control']);
  assert.deepEqual(['berth.example', 'teamberth.example', 'example'].map(kindOf), [undefined, undefined, undefined]);
});
