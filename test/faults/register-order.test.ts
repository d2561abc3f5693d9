import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Done, Outcome, PushEntry, ReadEntry } from './history.ts';
import { disorder } from './register-order.ts';

type Case = {
  readonly about: string;
  readonly writes: readonly Done<PushEntry>[];
  readonly reads: readonly Done<ReadEntry>[];
  readonly isOrdered: boolean;
};

const cases: readonly Case[] = [
  { about: 'nothing happened', writes: [], reads: [read(undefined, 0, 1)], isOrdered: true },
  { about: 'a write is read', writes: [write('a', 0, 1)], reads: [read('a', 2, 3)], isOrdered: true },
  { about: 'a write is lost', writes: [write('a', 0, 1)], reads: [read(undefined, 2, 3)], isOrdered: false },
  { about: 'a value from nowhere', writes: [], reads: [read('a', 2, 3)], isOrdered: false },
  { about: 'the future is read', writes: [write('a', 5, 6)], reads: [read('a', 2, 3)], isOrdered: false },
  {
    about: 'a read beside a write sees either',
    writes: [write('a', 0, 1), write('b', 2, 6)],
    reads: [read('a', 3, 4), read('b', 4.5, 5)],
    isOrdered: true,
  },
  {
    about: 'an older value comes back',
    writes: [write('a', 0, 1), write('b', 2, 3)],
    reads: [read('b', 4, 5), read('a', 6, 7)],
    isOrdered: false,
  },
  {
    about: 'an acknowledged write was lost',
    writes: [write('a', 0, 1), write('b', 2, 3)],
    reads: [read('a', 4, 5)],
    isOrdered: false,
  },
  {
    about: 'a cut write never happened',
    writes: [write('a', 0, 1), write('b', 2, 3, 'unknown')],
    reads: [read('a', 4, 5)],
    isOrdered: true,
  },
  {
    about: 'a cut write happened',
    writes: [write('a', 0, 1), write('b', 2, 3, 'unknown')],
    reads: [read('b', 4, 5)],
    isOrdered: true,
  },
  {
    about: 'a cut write happened and was undone',
    writes: [write('a', 0, 1), write('b', 2, 3, 'unknown')],
    reads: [read('b', 4, 5), read('a', 6, 7)],
    isOrdered: false,
  },
];

for (const { about, writes, reads, isOrdered } of cases) {
  test(`the checker of tags ${isOrdered ? 'accepts' : 'finds'}: ${about}`, () => {
    assert.equal(disorder(writes, reads) === undefined, isOrdered);
  });
}

function write(digest: string, startMs: number, endMs: number, outcome: Outcome = 'ok'): Done<PushEntry> {
  const manifest = { digest, mediaType: '', text: '' };
  const push = { repository: 'r', tag: 't', isRegister: true, manifest, blobs: [], subject: undefined };
  return { kind: 'push', ...push, startMs, endMs, outcome };
}

function read(digest: string | undefined, startMs: number, endMs: number): Done<ReadEntry> {
  return { kind: 'read', repository: 'r', tag: 't', digest, startMs, endMs, outcome: 'ok' };
}
