import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf } from './built-in-command.ts';

test('a command of acr that is not done here is named without its options: one may be a password', () => {
  for (const words of [
    ['acr', 'cssc', '--password=s3cret'],
    ['acr', 'cssc', '-ps3cret', '-u', 'me'],
    ['acr', '--password=s3cret', 'cssc'],
  ])
    assert.doesNotMatch(refusalOf(words), /s3cret/);
  assert.match(
    refusalOf(['acr', 'cssc', 'patch']),
    /^'acr cssc' is not done in a step: of acr this server does acr purge, .*acr version$/,
  );
});
