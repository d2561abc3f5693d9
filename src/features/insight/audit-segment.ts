import { createHash } from 'node:crypto';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { z } from 'zod';

/** A batch of the access log as the database had it. */
export type SegmentBatch = { readonly seq: number; readonly hash: string; readonly bytes: Uint8Array };

/** A signed statement about the stream, with what its signature is checked with. */
export type SegmentCheckpoint = { readonly statement: string; readonly signature: string; readonly publicKey: string };

export type Segment = {
  readonly stream: string;
  /** Of the batch before the first; 64 zeros for none. */
  readonly previousHash: string;
  readonly batches: readonly SegmentBatch[];
  readonly checkpoints: readonly SegmentCheckpoint[];
};

const headSchema = z.object({
  kind: z.literal('segment'),
  version: z.literal(1),
  stream: z.string(),
  previousHash: z.string(),
});
const batchSchema = z.object({ kind: z.literal('batch'), seq: z.int(), hash: z.string(), bytes: z.base64() });
const longestPlainBytes = 256 * 1024 * 1024;

/**
 * A segment as the archive has it: JSON lines, compressed with Zstandard. The first line says of which stream it is; each batch is one
 * line with the bytes that were hashed, and after it the same accesses as lines to read and search; then the checkpoints.
 */
export function segmentBytes({ stream, previousHash, batches, checkpoints }: Segment): Uint8Array {
  const head = JSON.stringify({ kind: 'segment', version: 1, stream, previousHash });
  const lines = batches.flatMap(({ seq, hash, bytes }) => [
    JSON.stringify({ kind: 'batch', seq, hash, bytes: Buffer.from(bytes).toString('base64') }),
    plainOf(bytes),
  ]);
  const signed = checkpoints.map((checkpoint) => JSON.stringify({ kind: 'checkpoint', ...checkpoint }));
  return zstdCompressSync(`${[head, ...lines, ...signed].join('\n')}\n`);
}

/** What is wrong with a segment, at which batch. */
export type SegmentFault = { readonly at: number; readonly reason: string };

export type SegmentExpected = {
  readonly stream: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly previousHash: string;
  readonly lastHash: string;
  /** Hashes that were signed, by sequence number. */
  readonly signed: ReadonlyMap<number, string>;
};

/** Reads a segment and checks each batch against its hash, the one before it, its checkpoint and the lines that people read. */
export function faultOfSegment(bytes: Uint8Array, expected: SegmentExpected): SegmentFault | undefined {
  const at = (seq: number, reason: string) => ({ at: seq, reason });
  const [head, ...lines] = linesOf(bytes) ?? [];
  const found = parsed(headSchema, head);
  if (found?.stream !== expected.stream || found.previousHash !== expected.previousHash)
    return at(expected.firstSeq, 'the segment in the archive is not the one that was written');
  let [seq, previous] = [expected.firstSeq - 1, expected.previousHash];
  for (let index = 0; seq < expected.lastSeq; ) {
    const batch = parsed(batchSchema, lines[index]);
    seq += 1;
    if (batch?.seq !== seq) return at(seq, 'a batch is missing in the archive');
    const content = Buffer.from(batch.bytes, 'base64');
    const hash = createHash('sha256').update(previous).update(content).digest('hex');
    if (hash !== batch.hash) return at(seq, 'the bytes of the batch in the archive are not those that were hashed');
    if ((expected.signed.get(seq) ?? hash) !== hash)
      return at(seq, 'the batch in the archive is not the one that was signed');
    const plain = plainOf(content).split('\n');
    if (plain.some((line, offset) => line !== lines[index + 1 + offset]))
      return at(seq, 'the lines of the batch in the archive are not those that were hashed');
    index += 1 + plain.length;
    previous = hash;
  }
  return previous === expected.lastHash
    ? undefined
    : at(seq, 'the segment in the archive ends otherwise than it was written');
}

/** Without the end of the last line. */
function plainOf(bytes: Uint8Array): string {
  return zstdDecompressSync(bytes, { maxOutputLength: longestPlainBytes }).toString('utf8').replace(/\n$/, '');
}

function linesOf(bytes: Uint8Array): string[] | undefined {
  try {
    return plainOf(bytes).split('\n');
  } catch {
    // Not what was written: told as such.
    return undefined;
  }
}

function parsed<T>(schema: z.ZodType<T>, line: string | undefined): T | undefined {
  try {
    return schema.safeParse(JSON.parse(line ?? '')).data;
  } catch {
    // Not JSON: told as a line that is missing.
    return undefined;
  }
}
