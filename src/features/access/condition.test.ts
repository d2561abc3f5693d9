import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { holds, repositoryNameAttribute } from './condition.ts';
import { ConditionError, parseCondition } from './condition-parser.ts';
import { reachOf } from './condition-reach.ts';

const read = 'Microsoft.ContainerRegistry/registries/repositories/content/read';
const write = 'Microsoft.ContainerRegistry/registries/repositories/content/write';
const name = '@Request[Microsoft.ContainerRegistry/registries/repositories:name]';
const portal = `((!(ActionMatches{'${read}'}) AND !(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/metadata/read'})) OR (${name} StringEqualsIgnoreCase 'Backend/API'))`;

const asks = (text: string, repository: string, operation = read) =>
  holds(parseCondition(text), { operation, attributes: new Map([[repositoryNameAttribute, repository]]) });

/** Condition, repositories that it lets in, and those that it does not. */
const rows: readonly [string, readonly string[], readonly string[]][] = [
  [portal, ['backend/api'], ['backend', 'backend/api2']],
  [`${name} StringStartsWithIgnoreCase 'Backend/'`, ['backend/api'], ['backend', 'backends/api']],
  [`${name} StringEquals 'Backend'`, [], ['backend']],
  [`${name} StringNotEquals 'a'`, ['b'], ['a']],
  [`${name} StringNotStartsWith 'a/'`, ['b'], ['a/b']],
  [`${name} StringLike 'a/*/c?'`, ['a/b/c1', 'a/b/b/c2'], ['a/b/c', 'a/c1']],
  [`${name} StringNotLike '*secret*'`, ['open'], ['a/secret/b']],
  [`${name} ForAnyOfAnyValues:StringEquals {'a', 'b'}`, ['a', 'b'], ['c']],
  [`${name} ForAllOfAllValues:StringNotEquals {'a', 'b'}`, ['c'], ['a', 'b']],
  [`NOT ${name} StringEquals 'a' && ${name} StringLike '*'`, ['b'], ['a']],
  [`${name} StringEquals 'a' || ${name} StringEquals 'b' AND ${name} StringEquals 'c'`, ['a'], ['b', 'c']],
  [`Exists ${name}`, ['a'], []],
  [`SubOperationMatches{'x'} OR ${name} StringEquals 'a'`, ['a'], ['b']],
  [`ActionMatches{'Microsoft.ContainerRegistry/*/read'}`, ['a'], []],
];

for (const [text, inside, outside] of rows) {
  test(`the condition ${text.slice(0, 80)} lets in ${inside} and not ${outside}`, () => {
    for (const each of inside) assert.equal(asks(text, each), true, each);
    for (const each of outside) assert.equal(asks(text, each), false, each);
  });

  test(`what a list shows under ${text.slice(0, 80)} is what is let in`, () => {
    const { isAll, names, prefixes, isExact } = reachOf(parseCondition(text), read);
    const isShown = (each: string) =>
      isAll || names.includes(each) || prefixes.some((prefix) => each.startsWith(prefix));
    for (const each of inside) assert.equal(isShown(each), true, each);
    if (isExact) for (const each of outside) assert.equal(isShown(each), false, each);
  });
}

test('other operations pass the condition of the portal', () => {
  assert.equal(asks(portal, 'another', write), true);
  assert.deepEqual(reachOf(parseCondition(portal), write), { isAll: true, names: [], prefixes: [], isExact: true });
});

test('names and prefixes are exact, and intersect', () => {
  const both = `${name} StringStartsWith 'a/' AND (${name} StringEquals 'a/b' OR ${name} StringStartsWith 'a/c/')`;
  assert.deepEqual(reachOf(parseCondition(both), read), {
    isAll: false,
    names: ['a/b'],
    prefixes: ['a/c/'],
    isExact: true,
  });
  assert.equal(reachOf(parseCondition(`!(${name} StringEquals 'a')`), read).isExact, false);
});

const bad: readonly [string, string, RegExp][] = [
  ['nothing', '', /the end was found/],
  ['a lone operator', 'AND', /an attribute.*AND at character 1/],
  ['an open parenthesis', `(${name} StringEquals 'a'`, /\) is expected/],
  ['something behind the end', `${name} StringEquals 'a' 'b'`, /the end, AND or OR is expected, and 'b'/],
  ['an unknown operator', `${name} StringMatches 'a'`, /an operator such as/],
  ['an operator on numbers', `${name} NumericEquals 1`, /an operator such as/],
  ['an unknown attribute', "@Request[Microsoft.Storage/x:y] StringEquals 'a'", /attribute @Request\[Microsoft.Storage/],
  ['a list without a quantifier', `${name} StringEquals {'a', 'b'}`, /ForAnyOfAnyValues/],
  ['an open text', `${name} StringEquals 'a`, /is not expected/],
  ['code', 'process.exit(1)', /is not expected/],
  ['too many parentheses', '('.repeat(2_000), /nested too deeply/],
  ['too many negations', '!'.repeat(2_000), /nested too deeply/],
  ['too many expressions', Array(1_200).fill('Exists').join(' ').slice(0, 8_000), /attribute/],
  ['too long a text', ' '.repeat(9_000), /8192 characters/],
];

for (const [label, text, message] of bad) {
  test(`a condition with ${label} is refused`, () => {
    assert.throws(
      () => parseCondition(text),
      (error) => error instanceof ConditionError && message.test(error.message),
    );
  });
}

test('a hostile pattern takes no time', () => {
  const text = `${name} StringLike '${'a*'.repeat(2_000)}b'`;
  const tookMs = cpuMsOf(() => assert.equal(asks(text, 'a'.repeat(255)), false));
  assert(tookMs < 200, `${tookMs} ms`);
});
