import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TaskError } from '../../wire/tasks/task-error.ts';
import { parsePackBuild } from './pack-words.ts';

describe('words of pack build', () => {
  test('as az acr pack build writes them', () => {
    const asked = parsePackBuild(
      'build r.example/app:v1 --builder r.example/builder --no-pull --env REGISTRY_NAME=r.example -p .'.split(' '),
    );
    assert.deepEqual(asked, {
      ...{ image: 'r.example/app:v1', builder: 'r.example/builder', path: '.', tags: [], pulls: false },
      ...{ env: new Map([['REGISTRY_NAME', 'r.example']]), runImage: undefined, process: undefined },
    });
  });
  test('both forms, and several names', () => {
    const { tags, env, pulls } = parsePackBuild(['build', 'a', '--builder=b', '-t', 'c', '--tag=d', '-e', 'X=y=z']);
    assert.deepEqual([tags, env.get('X'), pulls], [['c', 'd'], 'y=z', true]);
  });
  for (const [label, words] of [
    ['another command', ['rebase', 'a']],
    ['no builder', ['build', 'a']],
    ['no image', ['build', '--builder', 'b']],
    ['two images', ['build', 'a', 'b', '--builder', 'c']],
    ['an option that would be left out', ['build', 'a', '--builder', 'b', '--buildpack', 'c']],
    ['a volume', ['build', 'a', '--builder', 'b', '--volume', '/:/host']],
    ["the machine's network", ['build', 'a', '--builder', 'b', '--network', 'host']],
    ['an option without its value', ['build', 'a', '--builder']],
    ['a variable without a value', ['build', 'a', '--builder', 'b', '--env', 'HOME']],
    ['a variable that is a path', ['build', 'a', '--builder', 'b', '--env', '../x=y']],
  ] as const) {
    test(`${label} is refused`, () => assert.throws(() => parsePackBuild(words), TaskError));
  }
});
