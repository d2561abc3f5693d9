import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TaskError } from './task-error.ts';
import { splitWords } from './words.ts';

const good: readonly [string, readonly string[]][] = [
  ['bash echo hello', ['bash', 'echo', 'hello']],
  ['  bash\techo\n', ['bash', 'echo']],
  [`bash -c 'a && b | c > d; $(e)'`, ['bash', '-c', 'a && b | c > d; $(e)']],
  [`bash -c "a \\"b\\" \\n $X"`, ['bash', '-c', 'a "b" \\n $X']],
  [`x ''`, ['x', '']],
  [`x a'b'"c"d`, ['x', 'abcd']],
  ['find . -exec rm {} \\;', ['find', '.', '-exec', 'rm', '{}', ';']],
  ['a \\\n b', ['a', 'b']],
  ['echo $HOME $X', ['echo', '$HOME', '$X']],
  ['', []],
];

const bad: readonly [string, string][] = [
  ['a second command', 'bash echo; rm -rf /'],
  ['a pipe', 'bash echo $TOKEN | docker login'],
  ['and', 'a && b'],
  ['the background', 'a &'],
  ['a redirection', 'a > /etc/passwd'],
  ['back-quotes', 'a `id`'],
  ['a substitution', 'a $(id)'],
  ['an open quote', `a 'b`],
];

describe('words of a command', () => {
  for (const [text, words] of good) {
    test(`${JSON.stringify(text)} is ${words.length} words`, () => assert.deepEqual(splitWords(text), words));
  }
  test('what is refused is not quoted', () => {
    for (const text of ["img --password Sup3r'SecretPart2 x", 'img --password=hunter2;ls']) {
      assert.throws(
        () => splitWords(text),
        (error) => error instanceof TaskError && !/Secret|hunter/.test(error.message),
      );
    }
  });
  for (const [label, text] of bad) {
    test(`${label} is refused with what to do`, () => assert.throws(() => splitWords(text), TaskError));
  }
});
