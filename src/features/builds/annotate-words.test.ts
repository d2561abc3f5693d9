import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAnnotateWords } from './annotate-words.ts';

const words = (...annotations: readonly string[]) => [
  ...['--filter', 'a:.*', '--artifact-type', 'a/b'],
  ...annotations.flatMap((each) => ['--annotations', each]),
];

for (const [given, expected] of [
  [['a=b'], { a: 'b' }],
  [['a=b,c=d', 'e=f=g'], { a: 'b', c: 'd', e: 'f=g' }],
  [['"note=a, b",x=y'], { note: 'a, b', x: 'y' }],
  [['x=y,"note=he said ""no"", twice"'], { x: 'y', note: 'he said "no", twice' }],
  [['a='], { a: '' }],
] as const)
  test(`annotations are read as Azure's program reads them: ${given.join(' ')}`, () => {
    assert.deepEqual(parseAnnotateWords(words(...given)).annotations, expected);
  });

for (const given of ['a', '=b', 'a=b,', '"a=b', 'a="b"', '"a=b"c'])
  test(`annotations that are none are refused: ${given}`, () => {
    assert.throws(() => parseAnnotateWords(words(given)), { error: 'requestInvalid', detail: /NAME=VALUE/ });
  });
