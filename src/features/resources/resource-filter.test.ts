import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from './resource.ts';
import { parseResourceFilter } from './resource-filter.ts';

const author = { uid: 'u', name: 'n', kind: 'User' } as const;
const resource: Resource = {
  id: '/subscriptions/s/resourceGroups/Demo/providers/Microsoft.ContainerRegistry/registries/Contoso',
  parentId: '/subscriptions/s/resourceGroups/Demo',
  subscriptionId: 's',
  groupName: 'Demo',
  type: 'Microsoft.ContainerRegistry/registries',
  name: 'Contoso',
  location: 'eastus',
  tags: { Env: 'dev', team: 'a' },
  sku: undefined,
  identity: undefined,
  properties: {},
  uid: 'uid',
  tenantUid: 'tenant',
  state: 'Succeeded',
  etag: 'etag',
  createdAtMicros: 0,
  createdBy: author,
  changedAtMicros: 0,
  changedBy: author,
};

const matching = [
  '',
  "name eq 'contoso'",
  "resourceType eq 'microsoft.containerregistry/REGISTRIES'",
  "location ne 'westus'",
  "tagName eq 'env'",
  "tagName eq 'env' and tagValue eq 'dev'",
  "tagValue eq 'a'",
  "substringof('TOS', name)",
  "startswith(name, 'con')",
  "startswith(tagName, 'te')",
  "(name eq 'x' or name eq 'Contoso') and resourceGroup eq 'demo'",
];
const others = [
  "name eq 'contos'",
  "tagName eq 'env' and tagValue eq 'DEV'",
  "tagName eq 'env' and tagValue eq 'a'",
  "name eq 'it''s'",
  "name eq 'x' or location eq 'y'",
];
const invalid = [
  'name',
  "name gt 'x'",
  'name eq x',
  "name eq 'x",
  "color eq 'red'",
  "name eq 'x' and",
  "(name eq 'x'",
  "name eq 'x')",
  'substringof(name)',
  `${'('.repeat(100)}name eq 'x'`,
  `name eq '${'x'.repeat(4_000)}'`,
  "resourceType eq 'a\0'",
];

for (const text of matching) test(`matches: ${text}`, () => assert(parseResourceFilter(text).matches(resource)));
for (const text of others) test(`does not match: ${text}`, () => assert(!parseResourceFilter(text).matches(resource)));
for (const text of invalid) {
  test(`is no filter: ${text.slice(0, 40)}`, () =>
    assert.throws(() => parseResourceFilter(text), { error: 'filterInvalid' }));
}

test('what every match has is known for the database, and nothing else', () => {
  const { type, groupName } = parseResourceFilter("resourceType eq 'a/b' and (resourceGroup eq 'g')");
  assert.deepEqual([type, groupName], ['a/b', 'g']);
  const either = parseResourceFilter("resourceType eq 'a/b' or resourceGroup eq 'g'");
  assert.deepEqual([either.type, either.groupName], [undefined, undefined]);
  const negated = parseResourceFilter("resourceType ne 'a/b'");
  assert.equal(negated.type, undefined);
});

for (const [text, isExact] of [
  ["resourceType eq 'Microsoft.ContainerRegistry/registries'", true],
  ["resourceType eq 'a/b' and resourceGroup eq 'demo'", true],
  ["resourceType eq 'a/b' or resourceType eq 'a/c'", false],
  ["resourceType eq 'a/b' and resourceType eq 'a/c'", false],
  ["resourceType eq 'a/b' and name eq 'x'", false],
  ["resourceType ne 'a/b'", false],
  ["tagName eq 'a'", false],
] as const) {
  test(`the database alone ${isExact ? 'can' : 'cannot'} answer ${text}`, () => {
    assert.equal(parseResourceFilter(text).isExact, isExact);
  });
}
