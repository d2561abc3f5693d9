import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readProgram } from '../program.ts';
import { hideValues } from './hidden-values.ts';

test('a program has the values as variables, and its words only their names', async () => {
  const value = `with 'quotes' "and" $x\nlines=`;
  const { words, env, before } = hideValues('--build-arg', [
    { name: 'TOKEN', value },
    { name: 'TOKEN2', value: 'other' },
    { name: 'EMPTY', value: '' },
  ]);
  assert.deepEqual(words, ['--build-arg', 'TOKEN', '--build-arg', 'TOKEN2', '--build-arg', 'EMPTY=']);
  assert.doesNotMatch(before.join(' '), /quotes/);
  const line = [...before, 'sh', '-c', 'printf "%s|%s|%s" "$TOKEN" "$TOKEN2" "$BERTH_0"'];
  const path = { PATH: '/usr/bin:/bin' };
  assert.equal(await readProgram(line, { env: { ...path, ...env } }), `${value}|other|`);
});
for (const name of ['PATH', 'LD_PRELOAD', 'HTTPS_PROXY', 'https_proxy', 'HOME', 'CONTAINERS_CONF', 'a-b', 'a;b', '']) {
  test(`${name} does not change the builder`, () => {
    const { words, env, before } = hideValues('--build-arg', [{ name, value: 'x' }]);
    assert.deepEqual({ words, env, before }, { words: ['--build-arg', `${name}=x`], env: {}, before: [] });
  });
}
