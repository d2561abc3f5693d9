import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../system-clock.ts';
import { type Blocks, blockBytes } from './file-reader.ts';
import { resumedRead } from './resumed-read.ts';

const whole = Buffer.from(Uint8Array.from({ length: 2 * blockBytes + 1_000 }, (_, at) => at % 251));
const clock = { ...systemClock, sleep: async () => {} };

/** Memory that says how much of it is out, and is overwritten when it comes back. */
function countedBlocks() {
  let out = 0;
  const blocks: Blocks = {
    take: () => {
      out += 1;
      return Buffer.alloc(blockBytes);
    },
    give: (memory) => {
      out -= 1;
      memory.fill(255);
    },
    mayReadAhead: () => false,
  };
  return { blocks, out: () => out };
}

async function* inPieces(start: number, end: number, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += pieceBytes) yield whole.subarray(at, Math.min(at + pieceBytes, end));
}

/** Copies of the chunks. */
async function chunksOf(bytes: AsyncIterable<Uint8Array>): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of bytes) chunks.push(Buffer.from(chunk));
  return chunks;
}

for (const [pieces, pieceBytes] of [
  ['many small pieces', 1_460],
  ['one large piece', whole.length],
] as const)
  test(`${pieces} become chunks that end at block boundaries, in memory that comes back`, async () => {
    const { blocks, out } = countedBlocks();
    const open = async (start: number, end = whole.length) => inPieces(start, end, pieceBytes);
    const chunks = await chunksOf(resumedRead({ range: { start: 7, end: whole.length }, clock, blocks, open }));
    assert.deepEqual(
      chunks.map(({ length }) => length),
      [blockBytes - 7, blockBytes, 1_000],
    );
    assert.deepEqual(Buffer.concat(chunks), whole.subarray(7));
    assert.equal(out(), 0);
  });

test('an answer that breaks in the middle of a block goes on from there', async () => {
  const { blocks, out } = countedBlocks();
  const starts: number[] = [];
  const open = async (start: number) => {
    starts.push(start);
    return (async function* () {
      yield* inPieces(start, start + 1_000, 1_000);
      if (starts.length < 3) throw new Error('cut');
      yield* inPieces(start + 1_000, whole.length, 65_536);
    })();
  };
  const chunks = await chunksOf(resumedRead({ range: undefined, clock, blocks, open }));
  assert.deepEqual(starts, [0, 1_000, 2_000]);
  assert.deepEqual(Buffer.concat(chunks), whole);
  assert.equal(out(), 0);
});

test('of a store that answers more than it was asked for no more is read', async () => {
  const { blocks } = countedBlocks();
  let pieces = 0;
  const open = async (start: number) =>
    (async function* () {
      for await (const piece of inPieces(start, whole.length, 65_536)) {
        pieces += 1;
        yield piece;
      }
    })();
  const chunks = await chunksOf(resumedRead({ range: { start: 10, end: 20 }, clock, blocks, open }));
  assert.deepEqual(Buffer.concat(chunks), whole.subarray(10, 20));
  assert.equal(pieces, 1);
});

test('a reader that leaves, and one whose store stays broken, give the memory back', async () => {
  const { blocks, out } = countedBlocks();
  const range = { start: 0, end: whole.length };
  const open = async (start: number) => inPieces(start, whole.length, 65_536);
  for await (const chunk of resumedRead({ range, clock, blocks, open })) {
    assert.equal(chunk.length, blockBytes);
    break;
  }
  const broken = async () =>
    (async function* () {
      yield new Uint8Array(0);
      throw new Error('cut');
    })();
  await assert.rejects(chunksOf(resumedRead({ range, clock, blocks, open: broken })), /cut/);
  assert.equal(out(), 0);
});
