import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BerthError } from '../../core/errors.ts';
import type { Json } from '../../wire/arm/json.ts';
import { checkValue, type TypeDefinition, type TypeDefinitions } from './type-definitions.ts';

const definitions: TypeDefinitions = {
  sku: { type: 'string', allowedValues: ['Basic', 'Premium'] },
  registry: {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 5 },
      sku: { $ref: '#/definitions/sku' },
      days: { type: 'int', nullable: true, maxValue: 365 },
    },
    additionalProperties: false,
  },
  tree: { type: 'object', properties: { below: { $ref: '#/definitions/tree', nullable: true } } },
  pair: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'int' }], items: false },
  rule: {
    type: 'object',
    discriminator: {
      propertyName: 'kind',
      mapping: {
        ip: { type: 'object', properties: { kind: { type: 'string' }, value: { type: 'string' } } },
        any: { type: 'object', properties: { kind: { type: 'string' } } },
      },
    },
  },
  circle: { $ref: '#/definitions/circle' },
  empty: {},
};
const of = (name: string): TypeDefinition => ({ $ref: `#/definitions/${name}` });

const good: readonly (readonly [TypeDefinition, Json])[] = [
  [of('sku'), 'Basic'],
  [of('registry'), { name: 'contoso', sku: 'Premium' }],
  [of('registry'), { name: 'contoso', sku: 'Premium', days: null }],
  [{ ...of('registry'), nullable: true }, null],
  [{ type: 'array', items: of('sku') }, ['Basic', 'Premium']],
  [of('tree'), { below: { below: {} } }],
  [of('pair'), ['a', 1]],
  [of('rule'), { kind: 'ip', value: '203.0.113.7' }],
  [{ type: 'object', additionalProperties: { type: 'int' } }, { a: 1 }],
];
for (const [definition, value] of good) {
  test(`${JSON.stringify(value)} is a ${JSON.stringify(definition)}`, () =>
    checkValue(definition, value, definitions, 'here'));
}

const bad: readonly (readonly [TypeDefinition, Json, RegExp])[] = [
  [of('sku'), 'basic', /at 'here'.*not one of/],
  [of('registry'), { name: 'abc', sku: 'Basic' }, /at 'here\.name'.*below 5/],
  [of('registry'), { name: 'contoso' }, /member 'sku' is missing/],
  [of('registry'), { name: 'contoso', sku: 'Basic', days: 400 }, /'here\.days'.*above 365/],
  [of('registry'), { name: 'contoso', sku: 'Basic', colour: 1 }, /'colour' is not expected/],
  [of('registry'), null, /not of type object/],
  [{ type: 'array', items: of('sku') }, ['Basic', 1], /'here\[1\]'.*not of type string/],
  [of('tree'), { below: { below: 1 } }, /'here\.below\.below'/],
  [of('pair'), ['a'], /fewer than 2/],
  [of('pair'), ['a', 1, 2], /more than 2/],
  [of('rule'), { kind: 'dns' }, /'here\.kind'.*not one of ip, any/],
  [of('rule'), { kind: 'ip' }, /'value' is missing/],
  [of('rule'), { kind: 'constructor' }, /not one of ip, any/],
  [of('nope'), 1, /'#\/definitions\/nope' is not defined/],
  [of('constructor'), 1, /is not defined/],
  [of('circle'), 1, /is not defined/],
  [of('empty'), 1, /has no type/],
  [{ $ref: 'https://example.test/a.json' }, 1, /is not defined/],
];
for (const [definition, value, wanted] of bad) {
  test(`${JSON.stringify(value)} is no ${JSON.stringify(definition)}`, () =>
    assert.throws(
      () => checkValue(definition, value, definitions, 'here'),
      (error) => {
        assert(error instanceof BerthError);
        assert.match(JSON.stringify(error.detail), wanted);
        return true;
      },
    ));
}
