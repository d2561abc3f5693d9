import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runImagesOf } from './builder-metadata.ts';

const image = { image: 'r.test/run:v1', mirrors: ['m.test/run'] };
for (const [label, metadata, found] of [
  ['of a stack', { stack: { runImage: image } }, ['r.test/run:v1', 'm.test/run']],
  ['of targets', { images: [image, { image: 'r.test/other' }] }, ['r.test/run:v1', 'm.test/run', 'r.test/other']],
  ['of both', { stack: { runImage: { image: 'r.test/run:v1' } }, images: [image] }, ['r.test/run:v1', 'm.test/run']],
  ['that is no name', { stack: { runImage: { image: 'r.test/RUN v1', mirrors: null } } }, []],
  ['that is no text', { images: 'r.test/run' }, []],
] as const)
  test(`the run image ${label}`, () => assert.deepEqual(runImagesOf(JSON.stringify(metadata)), found));

test('a builder that tells nothing', () => assert.deepEqual(['', '{', 'null'].map(runImagesOf), [[], [], []]));
