import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runResultSchema } from './agent-protocol.ts';

const image = {
  registry: 'docker.io',
  repository: 'library/debian',
  tag: 'bookworm',
  digest: `sha256:${'0a'.repeat(32)}`,
};
const base = { ...image, reference: 'debian:bookworm' };
const resultOf = (more: object) => ({ status: 'Succeeded', images: [], dependencies: [], ...more });
const onBase = (more: object) => resultOf({ dependencies: [{ buildtime: [], runtime: { ...base, ...more } }] });

describe('what an agent says came of a run', () => {
  for (const [what, result] of [
    ['nothing', resultOf({})],
    ['images', resultOf({ images: [image, { ...image, registry: '[::1]:5000', tag: '' }] })],
    ['a long name', onBase({ repository: `${'a'.repeat(255)}/`.repeat(4).slice(0, 1_000) })],
  ] as const)
    test(`is taken with ${what}`, () => {
      assert.deepEqual(runResultSchema.parse(result), result);
    });

  for (const [what, result] of [
    ['a name that no index holds', onBase({ repository: 'a'.repeat(9_000) })],
    ['a character that PostgreSQL does not keep', onBase({ tag: 'a\0b' })],
    ['a registry of other letters', resultOf({ images: [{ ...image, registry: 'ä'.repeat(300) }] })],
    ['a reference of several lines', onBase({ reference: 'a\nb' })],
    [
      'more images of build time than a Dockerfile has',
      resultOf({ dependencies: [{ buildtime: Array(1_001).fill(base) }] }),
    ],
  ] as const)
    test(`is refused with ${what}`, () => {
      assert(!runResultSchema.safeParse(result).success);
    });

  test('is cut where it is too much, as the run has ended all the same', () => {
    const result = runResultSchema.parse(resultOf({ images: Array(1_200).fill(image), message: 'a'.repeat(5_000) }));
    assert.deepEqual([result.images.length, result.message?.length], [1_000, 4_000]);
    assert.equal(runResultSchema.parse(resultOf({ cpuSeconds: 1e300 })).cpuSeconds, 1_024 * 28_800);
  });
});
