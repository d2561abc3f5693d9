import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePurgeWords } from './purge-words.ts';

const day = 86_400_000;

describe('the words of acr purge', () => {
  test('are read in every form that flags have', () => {
    const words = ['--filter', 'app:.*', '-f', 'b:c', '--ago=30d', '--keep', '3', '--untagged', '--dry-run=false'];
    const { filters, ...rest } = parsePurgeWords(words);
    assert.deepEqual(
      filters.map(({ text }) => text),
      ['app:.*', 'b:c'],
    );
    const expected = {
      ageMs: 30 * day,
      keep: 3,
      untagged: 'also',
      includesLocked: false,
      isDryRun: false,
      notes: [],
      registry: undefined,
    };
    assert.deepEqual(rest, expected);
  });

  test('need no filter and no age for manifests without tags only', () => {
    const { untagged, ageMs, filters, registry } = parsePurgeWords(['--untagged-only', '-r', 'other', '-ufoo']);
    assert.deepEqual([untagged, ageMs, filters, registry], ['only', 0, [], 'other']);
  });

  test('say what was asked and is not done so', () => {
    const words = ['-f', 'a:b', '--ago', '1d', '--concurrency'];
    assert.match(parsePurgeWords([...words, '100']).notes.join(), /too large.*32/);
    assert.match(parsePurgeWords([...words, '0']).notes.join(), /invalid.*default value: 1/);
  });

  for (const [what, words, message] of [
    ['without a filter', ['--ago', '1d'], /"filter" not set/],
    ['without an age', ['--filter', 'a:b'], /"ago" not set/],
    ['with both forms of untagged', ['--untagged', '--untagged-only'], /exclude each other/],
    ['with an age that is none', ['-f', 'a:b', '--ago', '10'], /no age/],
    ['with a filter without a colon', ['-f', 'a', '--ago', '1d'], /parse filter/],
    ['with an unknown flag', ['--all'], /unknown flag/],
    ['with a word too many', ['now'], /unknown flag or argument/],
    ['with a flag without its value', ['--filter'], /needs an argument/],
    ['with half a number', ['-f', 'a:b', '--ago', '1d', '--keep', '1.5'], /whole number/],
  ] as const)
    test(`are refused ${what}`, () => {
      assert.throws(
        () => parsePurgeWords(words),
        (error: { detail?: unknown }) => message.test(String(error.detail)),
      );
    });
});
