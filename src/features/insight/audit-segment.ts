import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { z } from 'zod';

/** A batch of the access log as the database had it. */
export type SegmentBatch = { readonly seq: number; readonly hash: string; readonly bytes: Uint8Array };

/** The same with its lines, without the end of the last. */
export type ReadBatch = SegmentBatch & { readonly plain: Buffer };

/** A signed statement about the stream, with what its signature is checked with. */
export type SegmentCheckpoint = { readonly statement: string; readonly signature: string; readonly publicKey: string };

export type Segment = {
  readonly stream: string;
  /** Of the batch before the first; 64 zeros for none. */
  readonly previousHash: string;
  readonly batches: readonly ReadBatch[];
  readonly checkpoints: readonly SegmentCheckpoint[];
};

const headSchema = z.object({
  kind: z.literal('segment'),
  version: z.literal(1),
  stream: z.string(),
  previousHash: z.string(),
});
const batchSchema = z.object({ kind: z.literal('batch'), seq: z.int(), hash: z.string(), bytes: z.base64() });
const lineSchema = z.object({ at: z.int() });
const longestPlainBytes = 256 * 1024 * 1024;
const lineEnd = Buffer.from('\n');
const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/**
 * A segment as the archive has it: JSON lines, compressed with Zstandard. The first line says of which stream it is; each batch is one
 * line with the bytes that were hashed, and after it the same accesses as lines to read and search; then the checkpoints.
 */
export async function segmentBytes({ stream, previousHash, batches, checkpoints }: Segment): Promise<Uint8Array> {
  const head = JSON.stringify({ kind: 'segment', version: 1, stream, previousHash });
  const lines = batches.flatMap(({ seq, hash, bytes, plain }) => [
    JSON.stringify({ kind: 'batch', seq, hash, bytes: Buffer.from(bytes).toString('base64') }),
    plain,
  ]);
  const signed = checkpoints.map((checkpoint) => JSON.stringify({ kind: 'checkpoint', ...checkpoint }));
  // As bytes: to make one text of megabytes would keep requests waiting.
  return await compress(Buffer.concat([head, ...lines, ...signed].flatMap((line) => [Buffer.from(line), lineEnd])));
}

/** What is wrong with a segment, at which batch. */
export type SegmentFault = { readonly at: number; readonly reason: string };

/**
 * Reads batches that are to leave the database, or says which is not what was written: a batch against its hash, the one before it, its
 * checkpoint, and the time of its newest line, which has to be before `beforeMicros`.
 */
export async function readBatches(
  batches: readonly SegmentBatch[],
  expected: Pick<SegmentExpected, 'previousHash' | 'signed'> & { readonly beforeMicros: number },
): Promise<readonly ReadBatch[] | SegmentFault> {
  const read: ReadBatch[] = [];
  let previous = expected.previousHash;
  for (const { seq, hash, bytes } of batches) {
    if (hashOf(previous, bytes) !== hash) return { at: seq, reason: 'its bytes are not those that were hashed' };
    if ((expected.signed.get(seq) ?? hash) !== hash) return { at: seq, reason: 'it is not the one that was signed' };
    const plain = await decompressed(bytes);
    const last = parsed(lineSchema, plain?.toString('utf8', plain.lastIndexOf('\n') + 1));
    if (plain === undefined || last === undefined) return { at: seq, reason: 'it cannot be read' };
    if (last.at >= expected.beforeMicros) return { at: seq, reason: 'it is younger than the database has it' };
    read.push({ seq, hash, bytes, plain });
    previous = hash;
  }
  return read;
}

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
  // Where the batches that fit what was signed end.
  let fitting = seq;
  const notSigned = (last: number) =>
    at(fitting + 1, `the batches from ${fitting + 1} to ${last} in the archive are not those that were signed`);
  for (let index = 0; seq < expected.lastSeq; ) {
    const batch = parsed(batchSchema, lines[index]);
    seq += 1;
    if (batch?.seq !== seq) return at(seq, 'a batch is missing in the archive');
    const content = Buffer.from(batch.bytes, 'base64');
    const hash = hashOf(previous, content);
    if (hash !== batch.hash) return at(seq, 'the bytes of the batch in the archive are not those that were hashed');
    const signed = expected.signed.get(seq);
    if (signed !== undefined && signed !== hash) return notSigned(seq);
    if (signed !== undefined) fitting = seq;
    const plain = plainOf(content).split('\n');
    if (plain.some((line, offset) => line !== lines[index + 1 + offset]))
      return at(seq, 'the lines of the batch in the archive are not those that were hashed');
    index += 1 + plain.length;
    previous = hash;
  }
  return previous === expected.lastHash ? undefined : notSigned(seq);
}

function hashOf(previous: string, bytes: Uint8Array): string {
  return createHash('sha256').update(previous).update(bytes).digest('hex');
}

/** Without the end of the last line. */
async function decompressed(bytes: Uint8Array): Promise<Buffer | undefined> {
  try {
    const lines = await decompress(bytes, { maxOutputLength: longestPlainBytes });
    return lines.at(-1) === lineEnd[0] ? lines.subarray(0, -1) : lines;
  } catch {
    // Not what was written: told as such.
    return undefined;
  }
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
