import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf } from './built-in-command.ts';

test('a command of acr that is not done here is named without its options: one may be a password', () => {
  for (const words of [
    ['acr', 'login', '--password=s3cret'],
    ['acr', 'login', '-ps3cret', '-u', 'me'],
    ['acr', '--password=s3cret', 'login'],
  ])
    assert.doesNotMatch(refusalOf(words), /s3cret/);
  assert.match(refusalOf(['acr', 'login', '-u', 'me']), /^'acr login' is not done in a step: a run is signed in/);
  assert.match(
    refusalOf(['acr', 'annotate', 'app:v1']),
    /^'acr annotate' is not done in a step: of acr this server does/,
  );
});
