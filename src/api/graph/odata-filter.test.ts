import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixedValue, matches, parseFilter } from './odata-filter.ts';

const object = {
  displayName: "Ann's build",
  appId: 'a1',
  accountEnabled: true,
  mail: null,
  servicePrincipalNames: ['a1', 'api://a1'],
  web: { homePageUrl: 'https://x' },
};

const holding = [
  "appId eq 'A1'",
  "displayName eq 'ann''s build'",
  "startswith(displayName,'ANN')",
  "startsWith( displayName , 'Ann''s' )",
  "servicePrincipalNames/any(c:c eq 'api://A1')",
  'accountEnabled eq true',
  'mail eq null',
  "appId ne 'x'",
  "web/homePageUrl eq 'https://x'",
  "appId eq 'x' or appId eq 'a1'",
  "appId eq 'x' and appId eq 'y' or startswith(displayName,'ann') and mail eq null",
];
for (const filter of holding) test(`holds: ${filter}`, () => assert.equal(matches(parseFilter(filter), object), true));

const failing = [
  "appId eq 'a'",
  "appId eq 'a1' and appId eq 'x'",
  "startswith(appId,'x')",
  "servicePrincipalNames/any(c:c eq 'x')",
  "appId/any(c:c eq 'a1')",
  "__proto__/x eq 'y'",
  "constructor ne null and appId eq 'x'",
];
for (const filter of failing) test(`fails: ${filter}`, () => assert.equal(matches(parseFilter(filter), object), false));

const malformed: readonly [string, string][] = [
  ['empty', ''],
  ['no value', 'appId eq'],
  ['open quote', "appId eq 'a"],
  ['unknown operator', "appId gt 'a'"],
  ['parentheses', "(appId eq 'a')"],
  ['another variable', "names/any(c:d eq 'a')"],
  ['no joint', "appId eq 'a' appId eq 'b'"],
  ['open end', "appId eq 'a' and"],
  ['too long', `appId eq '${'a'.repeat(9000)}'`],
  ['too many terms', Array.from({ length: 101 }, () => "a eq 'b'").join(' or ')],
];
for (const [name, filter] of malformed)
  test(`refused: ${name}`, () => assert.throws(() => parseFilter(filter), { error: 'filterInvalid' }));

test('a value is fixed only where every match has it', () => {
  assert.equal(fixedValue(parseFilter("appId eq 'x' and mail eq null"), 'appId'), 'x');
  assert.equal(fixedValue(parseFilter("names/any(c:c eq 'x')"), 'names'), 'x');
  assert.equal(fixedValue(parseFilter("appId eq 'x' or mail eq null"), 'appId'), undefined);
  assert.equal(fixedValue(parseFilter("appId ne 'x'"), 'appId'), undefined);
});
