import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob } from '../../../test/support/oci-samples.ts';
import { openSocket, parseAnswer, rawHttp, readToEnd } from '../../../test/support/raw-http.ts';
import { type RegistryApp, registryApp } from '../../../test/support/registry-app.ts';
import { waitFor } from '../../../test/support/wait-for.ts';

const mebi = 1024 * 1024;
const goOn = 'HTTP/1.1 100 Continue\r\n\r\n';

/** Blobs over a real socket, in and out. */
forEachDatabase((_, open) => {
  let registry: RegistryApp;
  let server: Awaited<ReturnType<RegistryApp['listen']>>;

  before(async () => {
    registry = await registryApp(await open(), { limits: { maxBlobBytes: 4 * mebi } });
    server = await registry.listen();
  });
  after(async () => {
    await server.close();
    await registry.close();
  });

  const head = (line: string, headers: Readonly<Record<string, string | number>> = {}) =>
    [
      `${line} HTTP/1.1`,
      ...Object.entries({ Host: 'localhost', Connection: 'close', Authorization: registry.admin, ...headers }).map(
        ([name, value]) => `${name}: ${value}`,
      ),
      '',
      '',
    ].join('\r\n');
  const post = (digest: string) => `POST /v2/app/blobs/uploads/?digest=${digest}`;
  const push = async (bytes: Buffer, digest: string) => {
    const request = Buffer.concat([Buffer.from(head(post(digest), { 'Content-Length': bytes.length })), bytes]);
    return await rawHttp(server.port, request);
  };
  const pull = (digest: string, headers = {}) => rawHttp(server.port, head(`GET /v2/app/blobs/${digest}`, headers));
  const flip = async (digest: string, position: number) => {
    const { storage_key: key } = await registry.content.database.read
      .selectFrom('blobs')
      .select('storage_key')
      .where('digest', '=', digest)
      .executeTakeFirstOrThrow();
    const file = join(registry.folder.path, 'data', 'blobs', key.slice(0, 2), key);
    const bytes = readFileSync(file);
    bytes.writeUInt8(bytes.readUInt8(position) ^ 1, position);
    writeFileSync(file, bytes);
  };

  test('a blob goes in and comes out', async () => {
    const { bytes, digest } = sampleBlob('in and out', 3 * mebi + 7);
    assert.equal((await push(bytes, digest)).status, 201);
    const { status, head: answered, body } = await pull(digest);
    assert.equal(status, 200);
    assert.match(answered, new RegExp(`^Content-Length: ${bytes.length}\r$`, 'im'));
    assert(Buffer.from(body, 'latin1').equals(bytes));
  });

  test('32 ranges at once make up the whole', async () => {
    const { bytes, digest } = sampleBlob('ranges', 3 * mebi + 17);
    await push(bytes, digest);
    const step = Math.ceil(bytes.length / 32);
    const parts = await Promise.all(
      Array.from({ length: 32 }, (_unused, at) => pull(digest, { Range: `bytes=${at * step}-${(at + 1) * step - 1}` })),
    );
    assert(parts.every(({ status }) => status === 206));
    assert(Buffer.concat(parts.map(({ body }) => Buffer.from(body, 'latin1'))).equals(bytes));
  });

  test('a blob damaged at its start is an error, damaged later a short body; afterwards it is gone until pushed again', async () => {
    for (const [name, position, sent] of [
      ['start', 10, undefined],
      ['middle', mebi + 10, mebi],
    ] as const) {
      const { bytes, digest } = sampleBlob(name, 3 * mebi);
      await push(bytes, digest);
      await flip(digest, position);
      const first = await pull(digest);
      if (sent === undefined) assert.equal(first.status, 404);
      else assert.deepEqual([first.status, first.body.length], [200, sent]);
      const second = await pull(digest);
      assert.equal(second.status, 404);
      assert.equal(JSON.parse(second.body).errors[0].code, 'BLOB_UNKNOWN');
      assert.equal((await push(bytes, digest)).status, 201);
      assert(Buffer.from((await pull(digest)).body, 'latin1').equals(bytes));
    }
  });

  const refusals: readonly [what: string, headers: () => Record<string, string | number>, status: number][] = [
    ['not signed in', () => ({ Authorization: 'none' }), 401],
    ['too large', () => ({ 'Content-Length': 4 * mebi + 1 }), 413],
  ];
  for (const [what, headers, status] of refusals) {
    test(`a push that is refused never sends its body: ${what}`, async () => {
      const line = post(sampleBlob('refused').digest);
      const request = head(line, { 'Content-Length': 1000, Expect: '100-continue', ...headers() });
      const answer = await rawHttp(server.port, request);
      assert.equal(answer.status, status, answer.head);
    });
  }

  test('a push that is allowed is asked for its body, and then taken', async () => {
    const { bytes, digest } = sampleBlob('allowed', 1000);
    const socket = await openSocket(server.port);
    const reading = readToEnd(socket);
    socket.write(head(post(digest), { 'Content-Length': bytes.length, Expect: '100-continue' }));
    await new Promise<void>((resolve) => socket.once('data', () => resolve()));
    socket.write(bytes);
    const text = await reading;
    assert(text.startsWith(goOn));
    assert.equal(parseAnswer(text.slice(goOn.length)).status, 201);
  });

  test('a connection that breaks keeps what came, and the upload goes on from there', async () => {
    const { bytes, digest } = sampleBlob('broken connection', 2 * mebi);
    const began = await rawHttp(server.port, head('POST /v2/app/blobs/uploads/', { 'Content-Length': 0 }));
    const location = /^location: (\S+)\r?$/im.exec(began.head)?.[1] ?? '';
    const socket = await openSocket(server.port);
    socket.write(head(`PATCH ${location}`, { 'Content-Length': bytes.length }));
    await new Promise<void>((resolve) => socket.write(bytes.subarray(0, mebi), () => resolve()));
    socket.end();
    await readToEnd(socket);
    const offset = await untilKept(location);
    assert(offset > 0 && offset <= mebi, `${offset} bytes were kept`);
    const rest = bytes.subarray(offset);
    const headers = { 'Content-Length': rest.length, 'Content-Range': `${offset}-${bytes.length - 1}` };
    const request = Buffer.concat([Buffer.from(head(`PUT ${location}?digest=${digest}`, headers)), rest]);
    assert.equal((await rawHttp(server.port, request)).status, 201);
    assert(Buffer.from((await pull(digest)).body, 'latin1').equals(bytes));
  });

  /** The upload's offset, once the server has noticed that the connection broke. */
  const untilKept = (location: string) =>
    waitFor('the upload keeps what came', 120_000, async () => {
      const { head: answered } = await rawHttp(server.port, head(`GET ${location}`));
      const end = Number(/^range: 0-(\d+)\r?$/im.exec(answered)?.[1] ?? 0);
      return end > 0 && end + 1;
    });
});
