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

  test('say yes and no as Go reads it', () => {
    const { isDryRun, untagged } = parsePurgeWords(['-f', 'a:b', '--ago', '1d', '--dry-run=1', '--untagged=F']);
    assert.deepEqual([isDryRun, untagged], [true, 'none']);
  });

  test('say what was asked and is not done so', () => {
    const words = ['-f', 'a:b', '--ago', '1d', '--concurrency'];
    assert.match(parsePurgeWords([...words, '100']).notes.join(), /too large.*32/);
    assert.match(parsePurgeWords([...words, '0']).notes.join(), /invalid.*default value: 1/);
  });

  for (const [what, words, message] of [
    ['without a filter', ['--ago', '1d'], /^--filter is required when not using --untagged-only$/],
    ['without an age', ['--filter', 'a:b'], /^--ago is required when not using --untagged-only$/],
    ['with both forms of untagged', ['--untagged', '--untagged-only'], /exclude each other/],
    ['with an age that is none', ['-f', 'a:b', '--ago', '10'], /no age/],
    ['with a filter without a colon', ['-f', 'a', '--ago', '1d'], /parse filter/],
    ['with an unknown flag', ['--all=s3cret'], /^unknown flag: --all$/],
    ['with an unknown letter', ['-xs3cret'], /^unknown shorthand flag: 'x'$/],
    ['with a word too many', ['now'], /unknown argument: now/],
    [
      'with a flag behind the end of flags',
      ['-f', 'a:b', '--ago', '1d', '--', '--dry-run'],
      /unknown argument: --dry-run/,
    ],
    ['with a flag without its value', ['--filter'], /needs an argument/],
    ['with a flag that is half true', ['-f', 'a:b', '--ago', '1d', '--dry-run=yes'], /"yes" for "--dry-run" flag/],
    ['with half a number', ['-f', 'a:b', '--ago', '1d', '--keep', '1.5'], /"1.5" for "--keep" flag: a whole number/],
    ['with pages of no number', ['--untagged-only', '--repository-page-size', 'x'], /"--repository-page-size" flag/],
    ['with a very long filter', ['-f', `a:${':'.repeat(400_000)}`, '--ago', '1d'], /400002 letters together/],
    ['with very many filters', [...Array(101).fill('-fa:b'), '--ago', '1d'], /101 filters .*100 are taken/],
  ] as const)
    test(`are refused ${what}`, () => {
      assert.throws(
        () => parsePurgeWords(words),
        (error: { detail?: unknown }) => message.test(String(error.detail)),
      );
    });
});
