import { BlobMissing, type PartToken } from '../blob-store.ts';

const mebibyte = 1024 * 1024;
/** A blob has at most 50,000 blocks. Source: Azure Storage, "Put Block List". */
const smallBlocks = 1_000;

/** Bytes of the `index`-th block of one part; together they reach to 800 GB. */
export function blockBytesAt(index: number): number {
  return index < smallBlocks ? 4 * mebibyte : 16 * mebibyte;
}

/** One part of the contract: blocks that follow from where it starts and how long it is. */
export type BlockRun = {
  /** Eight hexadecimal digits, new for each part: a part that was sent again does not share blocks with the first try. */
  readonly nonce: string;
  readonly start: number;
  readonly sizeBytes: number;
};

export function writeToken({ nonce, start, sizeBytes }: BlockRun): PartToken {
  return `${nonce}.${start}.${sizeBytes}`;
}

/** Throws BlobMissing when the tokens do not make one blob. */
export function runsOf(tokens: readonly PartToken[]): {
  readonly runs: readonly BlockRun[];
  readonly sizeBytes: number;
} {
  let sizeBytes = 0;
  const runs = tokens.map((token) => {
    const [, nonce = '', start, size] = /^([0-9a-f]{8})\.(\d+)\.(\d+)$/.exec(token) ?? [];
    if (Number(start) !== sizeBytes) throw new BlobMissing('the parts do not make one blob');
    sizeBytes += Number(size);
    return { nonce, start: Number(start), sizeBytes: Number(size) };
  });
  return { runs, sizeBytes };
}

/** All ids of a blob have one length, as the service asks. */
export function blockId({ nonce, start }: Pick<BlockRun, 'nonce' | 'start'>, index: number): string {
  const text = `${nonce}${String(start).padStart(16, '0')}${String(index).padStart(6, '0')}`;
  return Buffer.from(text).toString('base64');
}

/** The blocks of a run, in order. */
export function blocksOf(run: BlockRun): { readonly id: string; readonly sizeBytes: number }[] {
  const blocks = [];
  for (let at = 0, index = 0; at < run.sizeBytes; at += blockBytesAt(index), index += 1)
    blocks.push({ id: blockId(run, index), sizeBytes: Math.min(blockBytesAt(index), run.sizeBytes - at) });
  return blocks;
}
