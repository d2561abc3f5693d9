import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { createOutbound } from '../outbound/outbound.ts';
import { systemClock } from '../system-clock.ts';
import { type Blocks, blockBytes, createReusedBlocks, freshBlocks } from './file-reader.ts';
import { readOnDemand } from './read-on-demand.ts';
import { resumedRead, type StoreAnswer } from './resumed-read.ts';

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

/** Each in memory of its own, as a socket gives them. */
async function* inPieces(start: number, end: number, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += pieceBytes)
    yield Uint8Array.from(whole.subarray(at, Math.min(at + pieceBytes, end)));
}

/** An answer that says how long it is, as stores do. */
function answered(start: number, end: number, pieceBytes: number): StoreAnswer {
  return { bytes: inPieces(start, end, pieceBytes), lengthBytes: end - start };
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
    const open = async (start: number, end = whole.length) => answered(start, end, pieceBytes);
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
    const bytes = (async function* () {
      yield* inPieces(start, start + 1_000, 1_000);
      if (starts.length < 3) throw new Error('cut');
      yield* inPieces(start + 1_000, whole.length, 65_536);
    })();
    return { bytes, lengthBytes: whole.length - start };
  };
  const chunks = await chunksOf(resumedRead({ range: undefined, clock, blocks, open }));
  assert.deepEqual(starts, [0, 1_000, 2_000]);
  assert.deepEqual(Buffer.concat(chunks), whole);
  assert.equal(out(), 0);
});

test('of a store that answers more than it was asked for no more is read', async () => {
  const { blocks } = countedBlocks();
  let pieces = 0;
  const open = async (start: number) => {
    const bytes = (async function* () {
      for await (const piece of inPieces(start, whole.length, 65_536)) {
        pieces += 1;
        yield piece;
      }
    })();
    return { bytes, lengthBytes: whole.length - start };
  };
  const chunks = await chunksOf(resumedRead({ range: { start: 10, end: 20 }, clock, blocks, open }));
  assert.deepEqual(Buffer.concat(chunks), whole.subarray(10, 20));
  assert.equal(pieces, 1);
});

test('an answer of what was asked for is read to its end, so that its connection can be used again', async () => {
  const { blocks } = countedBlocks();
  for (const [range, lengthBytes] of [
    [{ start: 10, end: 2_000 }, 1_990],
    [undefined, whole.length],
  ] as const) {
    let isRead = false;
    const open = async (start: number, end = whole.length) => {
      const bytes = (async function* () {
        yield* inPieces(start, end, 500);
        isRead = true;
      })();
      return { bytes, lengthBytes };
    };
    const chunks = await chunksOf(resumedRead({ range, clock, blocks, open }));
    assert.deepEqual(Buffer.concat(chunks), whole.subarray(range?.start ?? 0, range?.end));
    assert.ok(isRead);
  }
});

test('a reader that leaves, and one whose store stays broken, give the memory back', async () => {
  const { blocks, out } = countedBlocks();
  const range = { start: 0, end: whole.length };
  const open = async (start: number) => answered(start, whole.length, 65_536);
  for await (const chunk of resumedRead({ range, clock, blocks, open })) {
    assert.equal(chunk.length, blockBytes);
    break;
  }
  const broken = async () => {
    const bytes = (async function* () {
      yield new Uint8Array(0);
      throw new Error('cut');
    })();
    return { bytes, lengthBytes: undefined };
  };
  await assert.rejects(chunksOf(resumedRead({ range, clock, blocks, open: broken })), /cut/);
  assert.equal(out(), 0);
});

for (const [kind, blocks] of [
  ['fresh', freshBlocks],
  ['used again', createReusedBlocks()],
] as const)
  test(`a small object takes as much memory as it has bytes, whoever asks for how much of it (${kind})`, async () => {
    const open = async (start: number) => answered(start, 300, 65_536);
    for (const range of [undefined, { start: 0, end: 300 }, { start: 100, end: 900 }])
      for await (const chunk of resumedRead({ range, clock, blocks, open })) {
        assert.deepEqual(Buffer.from(chunk), whole.subarray(range?.start ?? 0, 300));
        assert.equal(chunk.buffer.byteLength, chunk.byteLength);
      }
  });

/** Each behind other bytes in the same memory, as the first piece of an answer lies behind its headers. */
async function* behindHeaders(start: number, end: number, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for await (const piece of inPieces(start, end, pieceBytes)) {
    const memory = new Uint8Array(500 + piece.length);
    memory.set(piece, 500);
    yield memory.subarray(500);
  }
}

for (const [what, arriving] of [
  ['has arrived', inPieces],
  ['came together with headers', behindHeaders],
] as const)
  test(`what ${what} is freed once it is read, without waiting for a collection`, async () => {
    const { blocks } = countedBlocks();
    const given: ArrayBufferLike[] = [];
    const held: number[] = [];
    const open = async (start: number, end = whole.length) => {
      const bytes = (async function* () {
        for await (const piece of arriving(start, end, 65_536)) {
          given.push(piece.buffer);
          yield piece;
        }
      })();
      return { bytes, lengthBytes: end - start };
    };
    for await (const _ of resumedRead({ range: { start: 0, end: whole.length }, clock, blocks, open }))
      held.push(given.filter(({ byteLength }) => byteLength > 0).length);
    // The piece that a block ends in is freed when the next block is asked for.
    assert.deepEqual(held, [1, 1, 1]);
    assert.equal(given.length, 9);
  });

test('memory that small buffers share is left to them', async () => {
  const { blocks } = countedBlocks();
  const others = Buffer.from('another buffer');
  const shared = others.buffer;
  const open = async () => {
    const bytes = (async function* () {
      yield new Uint8Array(shared, shared.byteLength - 1_000);
    })();
    return { bytes, lengthBytes: 1_000 };
  };
  await chunksOf(resumedRead({ range: { start: 0, end: 1_000 }, clock, blocks, open }));
  assert.equal(others.toString(), 'another buffer');
});

test('an answer that does not say how long it is is read to its end', async () => {
  const { blocks, out } = countedBlocks();
  const open = async (start: number) => ({ bytes: inPieces(start, whole.length, 65_536), lengthBytes: undefined });
  const chunks = await chunksOf(resumedRead({ range: undefined, clock, blocks, open }));
  assert.deepEqual(Buffer.concat(chunks), whole);
  assert.equal(out(), 0);
});

test('ranges that are read one after the other share a connection to the store', async () => {
  let connections = 0;
  const server = createServer((incoming, outgoing) => {
    const [start = 0, end = 0] = (incoming.headers.range ?? '').match(/\d+/g)?.map(Number) ?? [];
    outgoing.writeHead(206, { 'content-length': end - start + 1 }).end(whole.subarray(start, end + 1));
  });
  // On a machine that stands still for seconds a connection stays young.
  server.keepAliveTimeout = 600_000;
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
  const open = async (start: number, end = whole.length) => {
    const headers = { range: `bytes=${start}-${end - 1}` };
    const answer = await outbound.call({ url: `http://127.0.0.1:${port}/`, headers, maxBytes: whole.length });
    return { bytes: readOnDemand(answer.body), lengthBytes: Number(answer.headers.get('content-length')) };
  };
  try {
    for (const start of [0, 1, 1_000, blockBytes, blockBytes + 77, whole.length - 1])
      for (const end of [whole.length, Math.min(start + blockBytes, whole.length), start + 1]) {
        const chunks = await chunksOf(resumedRead({ range: { start, end }, clock, blocks: freshBlocks, open }));
        assert.deepEqual(Buffer.concat(chunks), whole.subarray(start, end));
        // The client looks at a connection once more before it uses it again.
        await systemClock.sleep(5);
      }
    // Without a pause between them there may be a second one.
    assert.ok(connections <= 3, `${connections} connections for 18 reads`);
  } finally {
    await outbound.close();
    server.closeAllConnections();
    server.close();
  }
});
