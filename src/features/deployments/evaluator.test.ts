import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BerthError } from '../../core/errors.ts';
import type { Json } from '../../wire/arm/json.ts';
import { Evaluator, newBudget } from './evaluator.ts';

const place = new Evaluator(
  {
    parameters: () => ({ Name: 'contoso', list: [1, 2], none: null }),
    boom: () => assert.fail('a branch that does not count'),
  },
  newBudget(),
);

const good: readonly (readonly [string, Json])[] = [
  ["concat('a', 'b''c', 1)", "ab'c1"],
  ["concat(createArray(1), createArray('x'))", [1, 'x']],
  ["parameters('x').name", 'contoso'],
  ["parameters('x')['list'][1]", 2],
  [" format ( '{0}-{1:D3} {{}}' , 'a' , 7 ) ", 'a-007 {}'],
  ["toUpper(substring('contoso', 0, 3))", 'CON'],
  ["replace('a-b-c', '-', '')", 'abc'],
  ["split('a;b,c', createArray(';', ','))", ['a', 'b', 'c']],
  ["join(split('a b', ' '), '+')", 'a+b'],
  ["length('four')", 4],
  ['empty(createObject())', true],
  ["contains(createArray('a', 'b'), 'b')", true],
  ["contains('contoso', 'toso')", true],
  ["first('abc')", 'a'],
  ['last(range(3, 4))', 6],
  ["if(equals(1, 1), 'yes', boom())", 'yes'],
  ["coalesce(null(), parameters('x').none, 'z', boom())", 'z'],
  ['and(true(), not(false()), or(false(), true()))', true],
  ["union(createObject('a', 1), createObject('b', 2))", { a: 1, b: 2 }],
  ['union(createArray(1, 2), createArray(2, 3))', [1, 2, 3]],
  ['intersection(createArray(1, 2), createArray(2, 3))', [2]],
  ["int('12')", 12],
  ['string(createArray(1))', '[1]'],
  ["bool('true')", true],
  ['array(1)', [1]],
  [`json('{"a":1}').a`, 1],
  ['add(1, mul(2, sub(7, div(9, 2))))', 7],
  ['mod(9, 4)', 1],
  ['min(3, 1, 2)', 1],
  ['max(createArray(3, 1))', 3],
  ["base64ToString(base64('é'))", 'é'],
  ["uri('https://contoso.test/a/', 'b')", 'https://contoso.test/a/b'],
  ["uriComponent('a b')", 'a%20b'],
  ["trim('  a ')", 'a'],
  ["startsWith('Contoso', 'con')", true],
  ["endsWith('Contoso', 'OSO')", true],
  ["indexOf('abcb', 'b')", 1],
  ["padLeft('7', 3, '0')", '007'],
  ["skip('abc', 1)", 'bc'],
  ['take(createArray(1, 2), 1)', [1]],
  ["tryGet(createObject('a', 1), 'b', 'c')", null],
  ["map(range(1, 3), lambda('n', mul(lambdaVariables('N'), 2)))", [2, 4, 6]],
  [
    "map(createArray('a', 'b'), lambda('x', 'i', format('{0}{1}', lambdaVariables('x'), lambdaVariables('i'))))",
    ['a0', 'b1'],
  ],
  ["filter(range(0, 6), lambda('n', equals(mod(lambdaVariables('n'), 2), 0)))", [0, 2, 4]],
  ["filter(createArray('a', 'b'), lambda('x', 'i', greater(lambdaVariables('i'), 0)))", ['b']],
  ["sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))", [1, 2, 3]],
  ["reduce(range(1, 4), 10, lambda('sum', 'n', add(lambdaVariables('sum'), lambdaVariables('n'))))", 20],
  ["reduce(range(1, 3), 0, lambda('s', 'n', 'i', add(lambdaVariables('s'), lambdaVariables('i'))))", 3],
  [
    "toObject(createArray('a', 'b'), lambda('x', lambdaVariables('x')), lambda('x', toUpper(lambdaVariables('x'))))",
    { a: 'A', b: 'B' },
  ],
  ["toObject(createArray('a'), lambda('x', lambdaVariables('x')))", { a: 'a' }],
  ["groupBy(createArray('ab', 'ac', 'b'), lambda('x', first(lambdaVariables('x'))))", { a: ['ab', 'ac'], b: ['b'] }],
  ["mapValues(createObject('a', 1), lambda('v', add(lambdaVariables('v'), 1)))", { a: 2 }],
  // A lambda in a lambda still sees the names around it.
  [
    "map(range(1, 2), lambda('a', map(range(1, 2), lambda('b', add(lambdaVariables('a'), lambdaVariables('b'))))))",
    [
      [2, 3],
      [3, 4],
    ],
  ],
  ["flatten(map(createArray('x'), lambda('a', createArray(lambdaVariables('a')))))[0]", 'x'],
  // RFC 4122, version 5, of the same bytes: python3 -c "uuid.uuid5(uuid.UUID('11fb06fb-…'), 'a-b')".
  ["guid('a', 'b')", '2d796349-8c7e-55ec-9624-54ece82ed031'],
  ["dateTimeAdd('2026-01-31T00:00:00Z', 'P1D')", '2026-02-01T00:00:00Z'],
  ["dateTimeAdd('20260101T000000Z', '-PT1H', 'yyyy-MM-dd HH')", '2025-12-31 23'],
];

for (const [text, wanted] of good) {
  test(`[${text}]`, async () => assert.deepEqual(await place.evaluate(`[${text}]`, 'here'), wanted));
}

const bad: readonly (readonly [string, string, RegExp])[] = [
  ['an unknown function', "nope('a')", /at 'here'.*'nope' is not known/],
  ['a name of JavaScript', "constructor('a')", /is not known/],
  ['a member of every object', "parameters('x').constructor", /no member .*constructor/],
  ['an end that is missing', "concat('a'", /'\)' is expected/],
  ['something behind the end', "concat('a') x", /not expected/],
  ['a text without end', "concat('a)", /not expected/],
  ['wrong arguments', 'length(1, 2)', /takes 1 arguments, not 2/],
  ['a loop index outside loops', 'copyIndex()', /is not known/],
  ['a reference too early', "reference('a')", /is not known/],
  ['a lambda by itself', "lambda('a', 1)", /'lambda' is not known/],
  [
    'a name that no lambda has',
    "map(range(0, 1), lambda('a', lambdaVariables('b')))",
    /no lambda around it has the name 'b'/,
  ],
  ['a name outside lambdas', "lambdaVariables('a')", /no lambda around it/],
  ['a lambda with a computed name', "map(range(0, 1), lambda(concat('a'), 1))", /names of a lambda are texts/],
  ['a lambda without an expression', 'map(range(0, 1), lambda())', /needs an expression/],
  ['a map of no array', "map('a', lambda('a', 1))", /takes an array and a lambda/],
  ['a map without a lambda', 'map(range(0, 1))', /takes an array and a lambda/],
  ['a filter that gives no truth value', "filter(range(0, 1), lambda('a', 1))", /truth value/],
  ['division by 0', 'div(1, 0)', /divisor is 0/],
  ['deep nesting', `${'array('.repeat(70)}1${')'.repeat(70)}`, /nested too deeply/],
  ['a text that explodes', "replace(padLeft('', 10000, 'a'), 'a', padLeft('', 10000, 'b'))", /too long/],
  ['a long expression', `'${'a'.repeat(25_000)}'`, /too long/],
];

for (const [name, text, wanted] of bad) {
  test(`refused with its place: ${name}`, async () => {
    await assert.rejects(place.evaluate(`[${text}]`, 'here'), (error) => {
      assert(error instanceof BerthError);
      assert.match(JSON.stringify(error.detail), wanted);
      return true;
    });
  });
}

test('texts that are no expressions stay; a doubled bracket is one', async () => {
  const value = { a: '[[literal]', b: ['[', 'plain]'], x: null };
  assert.deepEqual(await place.evaluate(value, 'here'), { a: '[literal]', b: ['[', 'plain]'], x: null });
});

test('copy makes arrays in a loop, also within each other', async () => {
  const input = {
    copy: [
      {
        name: 'rows',
        count: 2,
        input: { copy: [{ name: 'cells', count: 2, input: "[concat(copyIndex('rows'), copyIndex('cells', 1))]" }] },
      },
    ],
  };
  assert.deepEqual(await place.evaluate(input, 'here'), { rows: [{ cells: ['01', '02'] }, { cells: ['11', '12'] }] });
});

test('a template that doubles a value again and again is stopped', async () => {
  let value: Json = 'x'.repeat(1_000);
  await assert.rejects(async () => {
    for (let turn = 0; turn < 30; turn += 1) {
      const held = value;
      value = await new Evaluator({ v: () => held }, newBudget()).evaluate('[concat(v(), v())]', 'here');
    }
  });
});

test('lambdas that compute without end are stopped, and soon', async () => {
  const inner = "lambda('b', map(range(0, 9000), lambda('c', 1)))";
  const text = `[map(range(0, 9000), lambda('a', map(range(0, 9000), ${inner})))]`;
  const before = process.cpuUsage();
  await assert.rejects(new Evaluator({}, newBudget()).evaluate(text, 'here'), { error: 'templateInvalid' });
  const { user } = process.cpuUsage(before);
  assert(user < 2_000_000, `${user} µs`);
});
