import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { parsePurgeAge } from './purge-age.ts';
import { parsePurgeFilter, parsePurgeFilters } from './purge-filter.ts';

const hits: readonly [filter: string, repository: string, tag: string, expected: boolean][] = [
  ['app:v1', 'app', 'v1', true],
  ['app:v1', 'my-app', 'v1', false],
  ['app:1.0', 'app', '21x0-beta', true],
  ['app:^1\\.0$', 'app', '1.0', true],
  ['a|b:.*', 'a-long', 'x', true],
  ['a|b:.*', 'ends-b', 'x', true],
  ['.*:.*', 'team/app', 'v1', true],
  ['app:(?i:DEV)-.*', 'app', 'dev-1', true],
  ['app:[[:alpha:]]+', 'app', '123', false],
  ['app:[[:alpha:]]+', 'app', 'a', true],
  ['app[:]?:v', 'app', 'v', true],
  ['app:[]:]v', 'app', ':v', true],
  ['app:[^]:]v', 'app', ':v', false],
  ['app:\\[v', 'app', '[v', true],
  ['app:\\Q[\\E', 'app', 'a[b', true],
  ['app:\\Qa:b\\E', 'app', 'a:b', true],
  ['app:\\Q.\\E', 'app', 'x', false],
  ['app(?i:x):(?:a|b)', 'appX', 'b', true],
  ['app:(?P<name>v)', 'app', 'v', true],
  ['app:V1', 'app', 'v1', false],
];

for (const [filter, repository, tag, expected] of hits) {
  test(`the filter ${filter} ${expected ? 'takes' : 'leaves'} ${repository}:${tag}`, () => {
    const parsed = parsePurgeFilter(filter);
    assert.equal(parsed.matchesRepository(repository) && parsed.matchesTag(tag), expected);
  });
}

for (const filter of ['app', 'a:b:c', '\\Qa:b', 'a\\Q:\\E', ':v1', 'app:', 'app:(', 'app:(?=x)', '']) {
  test(`'${filter}' is refused as a filter`, () => {
    assert.throws(() => parsePurgeFilter(filter), { error: 'purgeInvalid' });
  });
}

test('an expression that takes exponential time elsewhere is answered at once', () => {
  const parsed = parsePurgeFilter('app:^(a+)+$');
  assert.equal(parsed.matchesTag(`${'a'.repeat(100)}!`), false);
});

const manyLetters = `.*:(?:(?:(?:${'[a-z0-9]?'.repeat(25)}){10}){10}){10}`;
const nested = 'app:(((a{10}){10}){10})';
for (const [what, filters, message] of [
  ['too many filters', Array<string>(101).fill('a:b'), /^101 filters are given; up to 100/],
  ['too many letters', Array<string>(11).fill(`a:${'b'.repeat(998)}`), /11000 letters together/],
  ['a filter that is too long', [`a:${':'.repeat(400_000)}`], /^the filters have 400002 letters/],
  ['too many repeats', Array<string>(2).fill('a:b{1,1000}'), /2000 times together; up to 1000/],
  ['repeats in repeats', Array<string>(34).fill(nested), /1020 times together/],
  ['one filter that repeats repeats of many letters', [manyLetters], /with each repeat written out; up to 20000/],
  ['repeats after brackets in a class', ['app:(?:(?:[)](?:a[(]{10}){10}){10}){10}'], /with each repeat written out/],
  ['repeats after a quote', ['app:(?:(?:\\Q)[\\E(?:bbb){10}){10}){100}'], /with each repeat written out/],
  [
    'repeats of repeats after flags',
    [`app:${'a'.repeat(9)}a{10}(?i){10}(?i){10}(?-i){100}`],
    /with each repeat written out/,
  ],
  [
    'classes far beyond ASCII',
    Array<string>(10).fill(`a:(?i)${'[a-\\x{10ffff}]'.repeat(60)}`),
    /with each repeat written out/,
  ],
  ['repeats of repeats after a quote of nothing', ['app:a{10}\\Q\\E{10}\\Q\\E{300}'], /with each repeat written out/],
] as const) {
  test(`a purge is refused with ${what}`, () => {
    assert.throws(
      () => parsePurgeFilters(filters),
      (error: { detail?: unknown }) => message.test(String(error.detail)),
    );
  });
}

test('as many filters as a purge may have are read in no time', () => {
  const most = [...Array<string>(9).fill(nested), ...Array<string>(91).fill(`app:${'\\pL'.repeat(31)}`)];
  const tookMs = cpuMsOf(() => assert.equal(parsePurgeFilters(most).length, 100));
  assert.ok(tookMs < 1_000, `${tookMs} ms`);
});

for (const [what, filter] of [
  ['of Unicode classes', `a:${'\\pL'.repeat(332)}`],
  ['of Unicode classes whatever the case', `a:(?i)${'\\pL'.repeat(330)}`],
  ['of a class of many Unicode classes', `a:(?i)[${'\\pL'.repeat(330)}]`],
  ['of a class of what many Unicode classes leave', `a:(?i)[^${'\\PL'.repeat(329)}]`],
  ['of negated classes', `a:(?i)${'[^a]'.repeat(247)}`],
  ['of groups in groups', `a:${'('.repeat(490)}a${')'.repeat(490)}`],
  ['of repeats in repeats of classes', 'a:(?i)(?:(?:[\\pL]{10}){5}){2}'],
] as const) {
  test(`as many filters ${what} as a purge may have are read in little time`, () => {
    const tookMs = cpuMsOf(() => assert.equal(parsePurgeFilters(Array<string>(10).fill(filter)).length, 10));
    assert.ok(tookMs < 1_000, `${tookMs} ms`);
  });
}

test('the heaviest filter that is taken looks at a tag in little time', () => {
  const [filter] = parsePurgeFilters([`.*:(?:(?:(?:${'a?'.repeat(10)}){10}){9}){8}-$`]);
  const tookMs = cpuMsOf(() => assert.equal(filter?.matchesTag(`${'a'.repeat(127)}-`), true));
  assert.ok(tookMs < 1_000, `${tookMs} ms`);
});

test('the names of builds, by date and commit, are taken with their repeats', () => {
  const build = 'team/[a-z]{2,20}:^[0-9]{4}(?:-[0-9]{2}){2}-[0-9a-f]{40}$';
  assert.equal(parsePurgeFilters(Array<string>(10).fill(build)).length, 10);
});

const ages: readonly [string, number][] = [
  ['30d', 30 * 86_400_000],
  ['0d', 0],
  ['2d3h6m', 2 * 86_400_000 + 3 * 3_600_000 + 6 * 60_000],
  ['36h', 36 * 3_600_000],
  ['90m', 90 * 60_000],
  ['1.5h', 5_400_000],
  ['999999999d', 54_750 * 86_400_000],
];

for (const [text, expected] of ages) {
  test(`the age ${text} is ${expected} ms`, () => assert.equal(parsePurgeAge(text), expected));
}

for (const text of ['', '10', '1w', '10d5d', '2d3x', '1.5d', '3h2d', 'day', 'd7', '-1d', 'abc', '30days']) {
  test(`'${text}' is refused as an age`, () => {
    assert.throws(() => parsePurgeAge(text), { error: 'purgeInvalid' });
  });
}
