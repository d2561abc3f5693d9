import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { parseParameters } from './token-form.ts';

const schema = z.object({ service: z.string().optional(), scope: z.union([z.string(), z.array(z.string())]) });

test('a name that comes once is a text, one that comes again a list', () => {
  const parse = (query: string) => parseParameters(schema, new URLSearchParams(query));
  assert.deepEqual(parse('service=a&scope=b'), { service: 'a', scope: 'b' });
  assert.deepEqual(parse('scope=b&service=a&scope=c'), { service: 'a', scope: ['b', 'c'] });
  assert.throws(() => parse('service=a'), { error: 'requestInvalid' });
});

test('a form of nothing but names is refused at once', () => {
  const forms = {
    'one name again and again': 'a&'.repeat(32_767),
    'many names': Array.from({ length: 16_000 }, (_, index) => index.toString(36)).join('&'),
    'as many as fit into an address': 'a&'.repeat(8_000),
  };
  for (const [name, form] of Object.entries(forms)) {
    const parameters = new URLSearchParams(form);
    const tookMs = cpuMsOf(() => assert.throws(() => parseParameters(schema, parameters), { error: 'requestInvalid' }));
    assert(tookMs < 200, `${name}: ${tookMs} ms`);
  }
});
