import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type IncomingHttpHeaders, request } from 'node:http';
import type { Socket } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Hono } from 'hono';
import { quietLog } from '../../../test/support/content-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { sampleBlob } from '../../../test/support/oci-samples.ts';
import { openSocket, parseAnswer, rawHttp, readToEnd } from '../../../test/support/raw-http.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { BerthError } from '../../core/errors.ts';
import { parseRegistryName } from '../../core/registry-name.ts';
import { openAccess } from '../../features/registries/registry.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { answerWith } from './answer.ts';
import type { Env } from './env.ts';
import { type HttpServers, startHttpServers } from './http-servers.ts';
import { refuseRest } from './refuse-rest.ts';
import { renderFailure } from './render-failure.ts';
import { bodyIn, bytesIn, ClientGone, sendBlob } from './streams.ts';

const mebi = 1024 * 1024;
/** A body that stands still is cut within two windows: short ones where that is what a test waits for. */
const windowMs = 300;
/** Where nobody is too slow, though both ends are in this process, which may have to wait for its turn. */
const patientMs = 30_000;
const limits = () => ({ minBytesPerSecond: 10_000, windowMs: bench.windowMs });
const host = 'localhost';

/** What the app under test does with the next request, and what it saw. */
type Bench = {
  windowMs: number;
  /** Taken before each chunk of a request's body. */
  take: () => Promise<void>;
  received: number;
  failure: unknown;
  /** The bytes of the next answer. */
  source: () => AsyncGenerator<Uint8Array>;
  pulled: number;
  isClosed: boolean;
};

const bench: Bench = {
  windowMs: patientMs,
  take: async () => {},
  received: 0,
  failure: undefined,
  source: async function* () {},
  pulled: 0,
  isClosed: false,
};

async function* watched(): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of bench.source()) {
      bench.pulled += chunk.length;
      yield chunk;
    }
  } finally {
    bench.isClosed = true;
  }
}

const app = new Hono<Env>();
app.onError(renderFailure(quietLog));
app.use(async (c, next) => {
  c.set('call', {
    correlationId: 'x',
    address: '',
    origin: '',
    userAgent: undefined,
    registry: {
      uid: 'x',
      tenantUid: 'x',
      name: parseRegistryName('contoso'),
      loginServer: 'x',
      sku: 'Premium',
      isAdminEnabled: false,
      isAnonymousPullEnabled: false,
      resourceKey: '/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/contoso',
      ...openAccess,
    },
  });
  try {
    await next();
  } finally {
    const { incoming, outgoing } = c.env ?? {};
    if (incoming && outgoing) await refuseRest(incoming, outgoing, systemClock);
  }
});
app.put('/body', async (c) => {
  const body = bodyIn(c, limits());
  const hash = createHash('sha256');
  try {
    for await (const chunk of body.bytes) {
      bench.received += chunk.length;
      hash.update(chunk);
      await bench.take();
    }
  } catch (failure) {
    bench.failure = failure;
    throw failure;
  }
  return c.json({ lengthBytes: body.lengthBytes ?? null, digest: `sha256:${hash.digest('hex')}` });
});
app.put('/bytes', async (c) => {
  const bytes = await bytesIn(bodyIn(c, limits()), 1000, () => new BerthError('bodyTooLarge'));
  return c.text(Buffer.from(bytes).toString('latin1'));
});
app.put('/refused', () => {
  throw new BerthError('denied');
});
app.get('/blob', (c) => {
  const headers = { 'Content-Length': c.req.query('length') ?? '0', ETag: '"x"' };
  return sendBlob(c, { status: 200, headers, bytes: watched() }, limits());
});

type Sent = { readonly bytes: Uint8Array; readonly isAnnounced: boolean };
type Answer = {
  readonly status: number;
  readonly header: (name: string) => string | null;
  readonly bytes: Buffer;
  /** Whether the body ended before it was whole. */
  readonly isShort: boolean;
};

/** The two ways to reach the app. */
type Way = {
  readonly what: string;
  readonly put: (path: string, sent: Sent) => Promise<Answer>;
  readonly get: (path: string) => Promise<Answer>;
  /** Takes the first bytes of an answer, stands still for `stallMs`, then goes away. */
  readonly begin: (path: string, stallMs: number) => Promise<void>;
  /** Sends a part of an announced body, then breaks off. */
  readonly breakOff: (path: string, bytes: Uint8Array) => Promise<void>;
  /** Sends without end while the app takes nothing; resolves to how many bytes went out. */
  readonly flood: (path: string) => Promise<number>;
};

let servers: HttpServers;
let port = 0;

const viaSocket: Way = {
  what: 'with a socket',
  put: (path, { bytes, isAnnounced }) =>
    exchange('PUT', path, isAnnounced ? { 'content-length': bytes.length } : { 'transfer-encoding': 'chunked' }, bytes),
  get: (path) => exchange('GET', path, {}),
  begin: async (path, stallMs) => {
    const socket = await openSocket(port);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.pause();
    await sleep(stallMs);
    socket.destroy();
  },
  breakOff: async (path, bytes) => {
    const socket = await openSocket(port);
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${bytes.length * 2}\r\n\r\n`);
    await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
    await waitFor('the bytes are there', 60_000, () => bench.received === bytes.length);
    socket.destroy();
  },
  flood: async (path) => {
    const socket = await openSocket(port);
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${1024 * mebi}\r\n\r\n`);
    const chunk = Buffer.alloc(mebi);
    let sent = 0;
    const isStuck = async () => {
      const taken = new Promise((resolve) => socket.write(chunk, () => resolve(false)));
      return await Promise.race([taken, sleep(200, true)]);
    };
    while (sent < 100 * mebi && !(await isStuck())) sent += chunk.length;
    socket.destroy();
    return sent;
  },
};

const viaRequest: Way = {
  what: 'with Request and Response alone',
  put: async (path, { bytes, isAnnounced }) => {
    const headers: Record<string, string> = isAnnounced ? { 'content-length': String(bytes.length) } : {};
    return await answerOf(
      await fetchApp(path, { method: 'PUT', headers, body: new Blob([new Uint8Array(bytes)]).stream() }),
    );
  },
  get: async (path) => await answerOf(await fetchApp(path, {})),
  begin: async (path, stallMs) => {
    const reader = (await fetchApp(path, {})).body?.getReader();
    await reader?.read();
    await sleep(stallMs);
    await reader?.cancel();
  },
  breakOff: async (path, bytes) => {
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(bytes),
      pull: (controller) => controller.error(new Error('broke off')),
    });
    await fetchApp(path, { method: 'PUT', headers: { 'content-length': String(bytes.length * 2) }, body });
  },
  flood: async (path) => {
    let sent = 0;
    let isOver = false;
    const body = new ReadableStream({
      pull: (controller) => {
        sent += mebi;
        if (isOver) controller.close();
        else controller.enqueue(Buffer.alloc(mebi));
      },
    });
    fetchApp(path, { method: 'PUT', body }).catch(() => {
      // Nobody waits for it.
    });
    await sleep(300);
    isOver = true;
    return sent;
  },
};

async function fetchApp(path: string, init: RequestInit): Promise<Response> {
  const whole: RequestInit & { readonly duplex: 'half' } = { ...init, duplex: 'half' };
  return await app.fetch(new Request(`http://${host}${path}`, whole));
}

async function answerOf(response: Response): Promise<Answer> {
  const chunks: Uint8Array[] = [];
  let isShort = false;
  try {
    for await (const chunk of response.body ?? []) chunks.push(chunk);
  } catch {
    isShort = true;
  }
  return {
    status: response.status,
    header: (name) => response.headers.get(name),
    bytes: Buffer.concat(chunks),
    isShort,
  };
}

async function exchange(
  method: string,
  path: string,
  headers: Readonly<Record<string, string | number>>,
  bytes?: Uint8Array,
): Promise<Answer> {
  const sent = request({ host: '127.0.0.1', port, method, path, headers: { host, ...headers }, agent: false });
  sent.end(bytes);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  sent.on('error', reject).on('response', (incoming) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('error', () => {
      // Told by `complete`.
    });
    incoming.once('close', () => {
      const header = (name: string) => headerText(incoming.headers, name);
      resolve({ status: incoming.statusCode ?? 0, header, bytes: Buffer.concat(chunks), isShort: !incoming.complete });
    });
  });
  return await promise;
}

function headerText(headers: IncomingHttpHeaders, name: string): string | null {
  return headers[name]?.toString() ?? null;
}

before(async () => {
  port = await freePort();
  servers = await startHttpServers({
    listeners: [{ host: '127.0.0.1', port }],
    answer: answerWith(app),
    clock: systemClock,
  });
});
after(() => servers.stop(0));
beforeEach(() => {
  const fresh = { windowMs: patientMs, take: async () => {}, received: 0, failure: undefined, pulled: 0 };
  Object.assign(bench, { ...fresh, isClosed: false });
});

/** One buffer for all chunks, as a store may do. */
function reusing(bytes: Buffer, chunkSize: number): () => AsyncGenerator<Uint8Array> {
  return async function* () {
    const memory = Buffer.alloc(chunkSize);
    for (let start = 0; start < bytes.length; start += chunkSize) {
      const length = bytes.copy(memory, 0, start, start + chunkSize);
      yield memory.subarray(0, length);
      memory.fill(0);
    }
  };
}

async function* endless(): AsyncGenerator<Uint8Array> {
  while (true) yield Buffer.alloc(mebi);
}

for (const way of [viaSocket, viaRequest]) {
  describe(way.what, () => {
    for (const size of [0, 1, 65_536, 5 * mebi + 3]) {
      for (const isAnnounced of [true, false]) {
        test(`a body of ${size} bytes arrives whole, ${isAnnounced ? 'announced' : 'of unknown length'}`, async () => {
          const { bytes, digest } = sampleBlob('body', size);
          const answer = await way.put('/body', { bytes, isAnnounced });
          assert.deepEqual(JSON.parse(String(answer.bytes)), { digest, lengthBytes: isAnnounced ? size : null });
        });
      }
    }

    test('a body taken slowly arrives whole', async () => {
      bench.take = () => sleep(2);
      const { bytes, digest } = sampleBlob('slow taker', 8 * mebi);
      const answer = await way.put('/body', { bytes, isAnnounced: false });
      assert.equal(JSON.parse(String(answer.bytes)).digest, digest);
    });

    test('a body that is not taken is not sent either', async () => {
      const held = Promise.withResolvers<void>();
      bench.take = () => held.promise;
      const sent = await way.flood('/body');
      assert(sent < 40 * mebi, `${sent / mebi} MiB went out`);
      held.resolve();
    });

    test('a body for memory is limited, announced or not', async () => {
      const fits = Buffer.alloc(1000, 'x');
      const large = Buffer.alloc(1001, 'x');
      for (const isAnnounced of [true, false]) {
        assert.deepEqual((await way.put('/bytes', { bytes: fits, isAnnounced })).bytes, fits);
        const refused = await way.put('/bytes', { bytes: large, isAnnounced });
        assert.equal(refused.status, 413);
        assert.equal(JSON.parse(String(refused.bytes)).errors[0].code, 'SIZE_INVALID');
      }
    });

    test('a body that breaks off throws', async () => {
      await way.breakOff('/body', Buffer.alloc(1000));
      await waitFor('the body throws', 60_000, () => bench.failure !== undefined);
      assert.equal(bench.received, 1000);
    });

    for (const size of [0, 1, 3 * mebi + 5]) {
      test(`an answer of ${size} bytes arrives whole, though the store uses its memory again`, async () => {
        const { bytes } = sampleBlob('answer', size);
        bench.source = reusing(bytes, mebi);
        const answer = await way.get(`/blob?length=${size}`);
        assert.equal(answer.status, 200);
        assert.equal(answer.header('etag'), '"x"');
        assert.equal(answer.header('content-length'), String(size));
        assert.equal(answer.isShort, false);
        assert(answer.bytes.equals(bytes));
        await waitFor('the source is closed', 60_000, () => bench.isClosed);
      });
    }

    test('content found damaged at its start is an error with a body', async () => {
      // biome-ignore lint/correctness/useYield: it throws before it yields
      bench.source = async function* () {
        throw new BerthError('blobDamaged', { digest: 'x' });
      };
      const answer = await way.get('/blob?length=10');
      assert.equal(answer.status, 404);
      assert.deepEqual(JSON.parse(String(answer.bytes)).errors[0].detail, { digest: 'x' });
      assert.equal(answer.header('etag'), null);
    });

    test('content found damaged later ends short', async (t) => {
      const told = t.mock.method(console, 'error', () => {});
      bench.source = async function* () {
        yield Buffer.alloc(100_000, 'x');
        await sleep(20);
        throw new BerthError('blobDamaged', { digest: 'x' });
      };
      const answer = await way.get('/blob?length=200000');
      assert.equal(answer.status, 200);
      assert.equal(answer.isShort, true);
      assert(answer.bytes.equals(Buffer.alloc(answer.bytes.length, 'x')));
      assert.deepEqual(
        told.mock.calls.map((call) => call.arguments),
        [],
        'nothing is written past the log',
      );
    });

    test('a reader that stands still is sent no more than fits on the way', async () => {
      bench.source = endless;
      await way.begin(`/blob?length=${1024 * mebi}`, windowMs / 2);
      assert(bench.pulled < 40 * mebi, `${bench.pulled / mebi} MiB were read`);
      await waitFor('the source is closed', 60_000, () => bench.isClosed);
    });
  });
}

describe('what only a socket has', () => {
  const head = (path: string, length: number, more = '') =>
    `PUT ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${length}\r\n${more}\r\n`;
  const trickle = async (socket: Socket, chunk: Buffer, everyMs: number, times: number) => {
    for (let count = 0; count < times && !socket.destroyed; count += 1) {
      socket.write(chunk);
      await sleep(everyMs);
    }
  };

  test('a sender that is too slow is told so and cut', async () => {
    bench.windowMs = windowMs;
    const socket = await openSocket(port);
    const reading = readToEnd(socket);
    socket.write(head('/body', 100_000));
    await trickle(socket, Buffer.alloc(1), 50, 40);
    const { status, body, head: answered } = parseAnswer(await reading);
    assert.equal(status, 408);
    assert.equal(JSON.parse(body).errors[0].code, 'BLOB_UPLOAD_INVALID');
    assert.match(answered, /^connection: close$/im);
  });

  test('a sender that stands still from the start is cut', async () => {
    bench.windowMs = windowMs;
    const socket = await openSocket(port);
    socket.write(head('/body', 10));
    assert.equal(parseAnswer(await readToEnd(socket)).status, 408);
  });

  test('a sender that is slow but fast enough is heard to the end', async () => {
    bench.windowMs = 4 * windowMs;
    const socket = await openSocket(port);
    const reading = readToEnd(socket);
    socket.write(head('/body', 80_000, 'Connection: close\r\n'));
    await trickle(socket, Buffer.alloc(1000), 40, 80);
    assert.equal(parseAnswer(await reading).status, 200);
  });

  test('a sender does not pay for a slow store', async () => {
    bench.windowMs = windowMs;
    bench.take = () => sleep(bench.received > 100_000 ? 0 : 3 * windowMs);
    const { bytes, digest } = sampleBlob('slow store', 4 * mebi);
    const answer = await viaSocket.put('/body', { bytes, isAnnounced: true });
    assert.equal(JSON.parse(String(answer.bytes)).digest, digest);
  });

  test('a client that goes away is known as gone, and the server lives', async () => {
    await viaSocket.breakOff('/body', Buffer.alloc(1000));
    await waitFor('the body throws', 60_000, () => bench.failure !== undefined);
    assert(bench.failure instanceof ClientGone);
    assert.equal((await viaSocket.put('/bytes', { bytes: Buffer.from('alive'), isAnnounced: true })).status, 200);
  });

  test('a reader that stands still is cut', async () => {
    bench.windowMs = windowMs;
    bench.source = endless;
    const socket = await openSocket(port);
    socket.write(`GET /blob?length=${1024 * mebi} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.pause();
    await waitFor('the source is closed', 60_000, () => bench.isClosed);
    const pulled = bench.pulled;
    socket.destroy();
    assert(pulled < 40 * mebi);
  });

  test('a reader that is slow but fast enough reads to the end', async () => {
    bench.windowMs = 4 * windowMs;
    bench.source = reusing(Buffer.alloc(12 * mebi, 'x'), mebi);
    const sent = request({
      host: '127.0.0.1',
      port,
      path: `/blob?length=${12 * mebi}`,
      headers: { host },
      agent: false,
    }).end();
    const incoming = await new Promise<NodeJS.ReadableStream>((resolve) => sent.once('response', resolve));
    let received = 0;
    for await (const chunk of incoming) {
      received += chunk.length;
      if (received % mebi < chunk.length) await sleep(windowMs);
    }
    assert.equal(received, 12 * mebi);
  });

  test('a reader does not pay for a slow store', async () => {
    bench.windowMs = windowMs;
    bench.source = async function* () {
      yield Buffer.alloc(10);
      await sleep(3 * windowMs);
      yield Buffer.alloc(10);
    };
    const answer = await viaSocket.get('/blob?length=20');
    assert.equal(answer.bytes.length, 20);
    assert.equal(answer.isShort, false);
  });

  test('200 stalled readers take no memory to speak of', async () => {
    bench.source = endless;
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const sockets = await Promise.all(Array.from({ length: 200 }, () => openSocket(port)));
    for (const socket of sockets) {
      socket.pause();
      socket.write(`GET /blob?length=${1024 * mebi} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    }
    await sleep(windowMs);
    const grown = (process.memoryUsage().rss - before) / mebi;
    for (const socket of sockets) socket.destroy();
    // Both ends are in this process, and each answer holds the chunk that waits for its reader.
    assert(grown < 500, `${Math.round(grown)} MiB more`);
  });

  test('a client that waits for leave gets it when its body is wanted', async () => {
    const socket = await openSocket(port);
    const reading = readToEnd(socket);
    socket.write(head('/bytes', 5, 'Expect: 100-continue\r\nConnection: close\r\n'));
    await new Promise<void>((resolve) => socket.once('data', () => resolve()));
    socket.write('hello');
    const text = await reading;
    assert(text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'), text);
    assert.equal(parseAnswer(text.slice('HTTP/1.1 100 Continue\r\n\r\n'.length)).body.includes('hello'), true);
  });

  for (const [what, path, length] of [
    ['is not allowed to', '/refused', 1000],
    ['announces too much', '/bytes', 1001],
  ] as const) {
    test(`a client that waits for leave and ${what} never sends its body`, async () => {
      const text = await rawText(head(path, length, 'Expect: 100-continue\r\n'));
      assert(!text.includes('100 Continue'), text);
      assert.match(text, /^HTTP\/1\.1 4\d\d /);
      assert.match(text, /^connection: close\r$/im);
    });
  }

  test('a small refused body leaves the connection of use', async () => {
    const socket = await openSocket(port);
    const reading = readToEnd(socket);
    socket.write(`${head('/refused', 1000)}${'x'.repeat(1000)}`);
    await sleep(100);
    socket.write(`${head('/bytes', 2, 'Connection: close\r\n')}hi`);
    const text = await reading;
    assert.deepEqual(
      [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status),
      ['403', '200'],
    );
  });

  test('of a large refused body no more than a little is read', async () => {
    const socket = await openSocket(port);
    const reading = readToEnd(socket);
    socket.write(head('/refused', 100 * mebi));
    let sent = 0;
    while (!socket.destroyed && sent < 100 * mebi) {
      const isWritten = await Promise.race([
        new Promise<boolean>((resolve) => socket.write(Buffer.alloc(65_536), (error) => resolve(!error))),
        sleep(500, false),
      ]);
      if (!isWritten) break;
      sent += 65_536;
    }
    const { status } = parseAnswer(await reading);
    assert(status === 403 || status === 0, 'answered, or cut while sending');
    assert(sent < 20 * mebi, `${sent / mebi} MiB went out`);
  });

  const rawText = async (text: string) => {
    const { head: answered, body } = await rawHttp(port, text);
    return `${answered}\r\n\r\n${body}`;
  };
});
