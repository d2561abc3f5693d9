import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseImageName, withHub, withRegistry, withTag } from './image-name.ts';
import { TaskError } from './task-error.ts';

const digest = `sha256:${'a'.repeat(64)}`;

describe('image names', () => {
  const parsed: readonly [string, readonly (string | undefined)[]][] = [
    ['app', [undefined, 'app', undefined, undefined]],
    ['library/debian:12', [undefined, 'library/debian', '12', undefined]],
    ['localhost:5000/x', ['localhost:5000', 'x', undefined, undefined]],
    ['localhost/x:1', ['localhost', 'x', '1', undefined]],
    ['r.example/a/b:v1', ['r.example', 'a/b', 'v1', undefined]],
    [`r.example:443/a@${digest}`, ['r.example:443', 'a', undefined, digest]],
    [`a/b:t@${digest}`, [undefined, 'a/b', 't', digest]],
  ];
  for (const [text, parts] of parsed) {
    test(`${text} is read`, () => {
      const name = parseImageName(text);
      assert.deepEqual([name.registry, name.repository, name.tag, name.digest], parts);
    });
  }

  for (const text of [
    '',
    'App',
    'a b',
    'a:',
    'a@',
    '--rm',
    'a/../b',
    'r.example/',
    `a@sha256:zz`,
    'a:b:c',
    `a@${digest}@x`,
  ]) {
    test(`${JSON.stringify(text)} is refused`, () => assert.throws(() => parseImageName(text), TaskError));
  }

  const prefixed: readonly [string, string][] = [
    ['app', 'r.example/app:latest'],
    ['team/app:v1', 'r.example/team/app:v1'],
    ['r.example/app:v1', 'r.example/app:v1'],
    ['R.example/app:v1', 'R.example/app:v1'],
    ['other.example/app', 'other.example/app:latest'],
    ['library/debian', 'library/debian:latest'],
    ['r.example.evil/x:1', 'r.example/r.example.evil/x:1'],
    ['libraryx/y:1', 'r.example/libraryx/y:1'],
  ];
  for (const [text, name] of prefixed) {
    test(`${text} is pushed as ${name}`, () => assert.equal(withRegistry(text, 'r.example', ['other.example']), name));
  }

  test('a registry with a port and no tag gets one', () =>
    assert.equal(withTag('localhost:5000/x'), 'localhost:5000/x:latest'));
  test('a digest needs no tag', () => assert.equal(withTag(`x@${digest}`), `x@${digest}`));
  test('official images of Docker Hub lie below library', () => {
    assert.deepEqual(withHub(parseImageName('debian')).repository, 'library/debian');
    assert.deepEqual(withHub(parseImageName('localhost:5000/x')).repository, 'x');
  });
});
