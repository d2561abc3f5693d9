import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { parseBlockList } from './block-list.ts';

const blanks = ' '.repeat(500_000);

describe('a list of blocks', () => {
  test('is read in order', () => {
    const text = `<?xml version='1.0' encoding='utf-8'?>\n<BlockList><Latest>YQ==</Latest>\n<Uncommitted>Yg==</Uncommitted></BlockList>`;
    assert.deepEqual(parseBlockList(text), ['YQ==', 'Yg==']);
    assert.deepEqual(parseBlockList('<BlockList></BlockList>'), []);
  });

  for (const [what, text] of [
    ['around it', blanks],
    ['after its declaration', `<?xml version="1.0"?>${blanks}`],
    ['after its entries', `<BlockList>${'<Latest>YQ==</Latest>'.repeat(20_000)}${blanks}`],
  ] as const)
    test(`is judged at once with a lot of blanks ${what}`, () => {
      const tookMs = cpuMsOf(() => {
        assert.throws(() => parseBlockList(`${text}<`), { error: 'blobRequestInvalid' });
        assert.throws(() => parseBlockList(`${text}<Other></BlockList>`), { error: 'blobRequestInvalid' });
      });
      assert(tookMs < 5_000, `${tookMs} ms`);
    });

  for (const [what, text] of [
    ['nothing', ''],
    ['another document', '<html></html>'],
    ['an entity', '<BlockList><Latest>&a;</Latest></BlockList>'],
    ['a document type', '<!DOCTYPE a [<!ENTITY b "c">]><BlockList></BlockList>'],
    ['an unknown member', '<BlockList><Other>YQ==</Other></BlockList>'],
    ['an end that is missing', '<BlockList><Latest>YQ==</BlockList>'],
  ] as const)
    test(`is refused with ${what}`, () => {
      assert.throws(() => parseBlockList(text), { error: 'blobRequestInvalid' });
    });
});
