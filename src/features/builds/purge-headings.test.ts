import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PurgeHeadings } from './purge-headings.ts';

test('each repository has a line for its tags and one for its manifests, also where none leaves', () => {
  const headings = new PurgeHeadings({ untagged: 'also', isDryRun: false });
  headings.begin('a');
  headings.begin('b');
  headings.begin('b');
  assert.deepEqual(headings.before({ repository: 'b', tag: 'v1' }), [
    'Deleting tags for repository: a',
    'Deleting manifests for repository: a',
    'Deleting tags for repository: b',
  ]);
  assert.deepEqual(headings.before({ repository: 'b', tag: 'v2' }), []);
  assert.deepEqual(headings.before({ repository: 'b', tag: undefined }), ['Deleting manifests for repository: b']);
  assert.deepEqual(headings.before({ repository: 'b', tag: 'sha256-0a.sig' }), [], 'it leaves with its manifest');
  headings.begin('c');
  assert.deepEqual(headings.rest(), ['Deleting tags for repository: c', 'Deleting manifests for repository: c']);
  assert.deepEqual(headings.rest(), []);
});

test('while nothing leaves, lines come with the repositories that are looked at', () => {
  const headings = new PurgeHeadings({ untagged: 'also', isDryRun: false });
  assert.deepEqual(headings.begun(), []);
  headings.begin('a');
  assert.deepEqual(headings.begun(), ['Deleting tags for repository: a']);
  assert.deepEqual(headings.begun(), [], 'tags of it may leave');
  headings.begin('b');
  headings.begin('c');
  assert.deepEqual(headings.begun(), [
    'Deleting manifests for repository: a',
    'Deleting tags for repository: b',
    'Deleting manifests for repository: b',
    'Deleting tags for repository: c',
  ]);
  assert.deepEqual(headings.before({ repository: 'c', tag: 'v1' }), []);
  assert.deepEqual(headings.before({ repository: 'c', tag: undefined }), ['Deleting manifests for repository: c']);
  assert.deepEqual(headings.rest(), []);
});

test('lines are of what may leave alone, and say so where nothing does', () => {
  for (const [untagged, what] of [
    ['none', 'tags'],
    ['only', 'manifests'],
  ] as const) {
    const headings = new PurgeHeadings({ untagged, isDryRun: true });
    headings.begin('a');
    assert.deepEqual(headings.rest(), [`Would delete ${what} for repository: a`]);
  }
});
