import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { bytesOf } from '../../../test/support/bodies.ts';
import { sampleBlob } from '../../../test/support/oci-samples.ts';
import { BlockChecksums, BlockMismatch, blockBytes, checkedBlocks } from './block-checksums.ts';

const sizes = [0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 3 * blockBytes, 20 * blockBytes + 7];
const chunkSizes = [1000, 65_536, blockBytes, 3 * blockBytes + 1];

function checksumsOf(bytes: Buffer, chunkSize = 65_536): Uint8Array {
  const checksums = new BlockChecksums();
  for (let start = 0; start < bytes.length; start += chunkSize)
    checksums.update(bytes.subarray(start, start + chunkSize));
  return checksums.finish();
}

/** Each chunk is overwritten when the next one is asked for, as a store may do. */
async function* inChunks(bytes: Buffer, chunkSize: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += chunkSize) {
    const chunk = Buffer.from(bytes.subarray(start, start + chunkSize));
    yield chunk;
    chunk.fill(0);
  }
}

for (const size of sizes) {
  const { bytes } = sampleBlob('blocks', size);

  test(`${size} bytes have a CRC-32 for each block, however they arrive`, () => {
    const expected = Buffer.alloc(Math.ceil(size / blockBytes) * 4);
    for (let block = 0; block * blockBytes < size; block += 1) {
      expected.writeUInt32BE(crc32(bytes.subarray(block * blockBytes, (block + 1) * blockBytes)), block * 4);
    }
    for (const chunkSize of chunkSizes) assert(expected.equals(checksumsOf(bytes, chunkSize)));
  });

  test(`${size} good bytes pass, however they are read`, async () => {
    const checksums = checksumsOf(bytes);
    for (const chunkSize of chunkSizes) {
      const expected = { checksums, firstBlock: 0, lengthBytes: size };
      assert((await bytesOf(checkedBlocks(inChunks(bytes, chunkSize), expected))).equals(bytes));
    }
  });
}

const blocks = sampleBlob('three blocks', 2 * blockBytes + 500).bytes;
const checksums = checksumsOf(blocks);

test('reading may begin at any block', async () => {
  const rest = blocks.subarray(blockBytes);
  const expected = { checksums, firstBlock: 1, lengthBytes: rest.length };
  assert((await bytesOf(checkedBlocks(inChunks(rest, 1000), expected))).equals(rest));
});

const flips: readonly [position: number, passed: number][] = [
  [0, 0],
  [blockBytes - 1, 0],
  [blockBytes, blockBytes],
  [2 * blockBytes + 499, 2 * blockBytes],
];
for (const [position, passed] of flips) {
  for (const chunkSize of chunkSizes) {
    test(`a bit flipped at ${position} keeps its block back, read by ${chunkSize}`, async () => {
      const wrong = Buffer.from(blocks);
      wrong.writeUInt8(wrong.readUInt8(position) ^ 1, position);
      let sent = 0;
      await assert.rejects(async () => {
        const expected = { checksums, firstBlock: 0, lengthBytes: wrong.length };
        for await (const chunk of checkedBlocks(inChunks(wrong, chunkSize), expected)) sent += chunk.length;
      }, BlockMismatch);
      assert.equal(sent, passed);
    });
  }
}

for (const [what, bytes] of [
  ['none', Buffer.alloc(0)],
  ['a byte too few', blocks.subarray(0, -1)],
  ['a block too few', blocks.subarray(0, blockBytes)],
  ['a byte too many', Buffer.concat([blocks, Buffer.alloc(1)])],
] as const) {
  test(`bytes of another length do not pass: ${what}`, async () => {
    const expected = { checksums, firstBlock: 0, lengthBytes: blocks.length };
    await assert.rejects(bytesOf(checkedBlocks(inChunks(bytes, 65_536), expected)), BlockMismatch);
  });
}
