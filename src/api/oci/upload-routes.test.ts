import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { hashOf, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { type RegistryApp, registryApp } from '../../../test/support/registry-app.ts';
import { errorListSchema } from '../../wire/oci/lists.ts';

const mebi = 1024 * 1024;

forEachDatabase((_, open) => {
  let registry: RegistryApp;
  let count = 0;
  const fresh = () => {
    count += 1;
    return `team/app${count}`;
  };

  before(async () => {
    registry = await registryApp(await open(), { limits: { maxBlobBytes: 4 * mebi, maxOpenPerIdentity: 50 } });
  });
  after(() => registry.close());

  const send = (method: string, path: string, bytes?: Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
    registry.ask(path, {
      method,
      headers: bytes === undefined ? headers : { 'content-length': String(bytes.length), ...headers },
      body: bytes === undefined ? null : new Uint8Array(bytes),
    });
  const begin = async (name: string, query = ''): Promise<string> => {
    const answer = await send('POST', `/v2/${name}/blobs/uploads/${query}`);
    assert.equal(answer.status, 202);
    assert.equal(answer.headers.get('range'), '0-0');
    assert.match(answer.headers.get('docker-upload-uuid') ?? '', /^[a-z2-7]{26}$/);
    const location = answer.headers.get('location') ?? '';
    assert(location.startsWith(`/v2/${name}/blobs/uploads/`), 'relative, and the whole state in the path');
    assert(!location.includes('?'));
    return location;
  };
  const pull = async (name: string, digest: string): Promise<Buffer> => {
    const answer = await registry.ask(`/v2/${name}/blobs/${digest}`);
    assert.equal(answer.status, 200);
    return Buffer.from(await answer.arrayBuffer());
  };
  const created = (answer: Response, name: string, digest: string) => {
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get('location'), `/v2/${name}/blobs/${digest}`);
    assert.equal(answer.headers.get('docker-content-digest'), digest);
  };
  const refused = async (answer: Response, status: number, code: string) => {
    assert.equal(answer.status, status);
    assert.equal(errorListSchema.parse(await answer.json()).errors[0]?.code, code);
  };

  test('POST with a digest takes the whole blob', async () => {
    const name = fresh();
    const { bytes, digest } = sampleBlob(name, 2 * mebi + 1);
    created(await send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, bytes), name, digest);
    assert((await pull(name, digest)).equals(bytes));
    const named512 = hashOf(bytes, 'sha512');
    created(await send('POST', `/v2/${name}/blobs/uploads/?digest=${named512}`, bytes), name, named512);
    assert((await pull(name, named512)).equals(bytes));
  });

  test('POST, then PUT with the whole blob', async () => {
    const name = fresh();
    const { bytes, digest } = sampleBlob(name, 1000);
    created(await send('PUT', `${await begin(name)}?digest=${digest}`, bytes), name, digest);
    assert((await pull(name, digest)).equals(bytes));
  });

  test('POST, a streamed PATCH without Content-Range, then an empty PUT, as docker does', async () => {
    const name = fresh();
    const { bytes, digest } = sampleBlob(name, 1000);
    const location = await begin(name);
    const patched = await registry.ask(location, { method: 'PATCH', body: new Blob([new Uint8Array(bytes)]).stream() });
    assert.equal(patched.status, 202);
    assert.equal(patched.headers.get('range'), '0-999');
    const next = patched.headers.get('location') ?? '';
    created(await send('PUT', `${next}?digest=${encodeURIComponent(digest)}`, Buffer.alloc(0)), name, digest);
    assert((await pull(name, digest)).equals(bytes));
  });

  const forms: readonly [what: string, write: (start: number, end: number, total: number) => string][] = [
    ["docker's", (start, end) => `${start}-${end}`],
    ["RFC 9110's", (start, end, total) => `bytes ${start}-${end}/${total}`],
    ["RFC 9110's without a total", (start, end) => `bytes ${start}-${end}/*`],
  ];
  for (const [what, write] of forms) {
    test(`chunks with Content-Range in ${what} form`, async () => {
      const name = fresh();
      const { bytes, digest } = sampleBlob(name, 30);
      let location = await begin(name);
      for (const start of [0, 10]) {
        const chunk = bytes.subarray(start, start + 10);
        const answer = await send('PATCH', location, chunk, { 'content-range': write(start, start + 9, 30) });
        assert.equal(answer.status, 202);
        assert.equal(answer.headers.get('range'), `0-${start + 9}`);
        location = answer.headers.get('location') ?? '';
      }
      const last = { 'content-range': write(20, 29, 30) };
      created(await send('PUT', `${location}?digest=${digest}`, bytes.subarray(20), last), name, digest);
      assert((await pull(name, digest)).equals(bytes));
    });
  }

  test('a chunk out of place is refused with the way back', async () => {
    const name = fresh();
    const { bytes, digest } = sampleBlob(name, 30);
    const location = await begin(name);
    const part = (start: number, end: number, method = 'PATCH', query = '') =>
      send(method, `${location}${query}`, bytes.subarray(start, end + 1), { 'content-range': `${start}-${end}` });
    assert.equal((await part(0, 9)).status, 202);
    const wrong = [
      await part(0, 9),
      await part(5, 14),
      await part(20, 29),
      await part(20, 29, 'PUT', `?digest=${digest}`),
    ];
    for (const answer of wrong) {
      assert.equal(answer.headers.get('location'), location);
      assert.equal(answer.headers.get('range'), '0-9');
      await refused(answer, 416, 'BLOB_UPLOAD_INVALID');
    }
    const status = await registry.ask(location);
    assert.equal(status.status, 204);
    assert.equal(status.headers.get('range'), '0-9');
    assert.equal(status.headers.get('location'), location);
    assert.equal((await part(10, 29)).status, 202);
    created(await send('PUT', `${location}?digest=${digest}`), name, digest);
  });

  const malformed = ['0', '9-0', 'bytes=0-9', 'x', '0-9,20-29', 'bytes */30'];
  test('a malformed Content-Range is refused, and the upload goes on', async () => {
    const name = fresh();
    const { bytes, digest } = sampleBlob(name, 10);
    const location = await begin(name);
    for (const text of malformed) {
      await refused(await send('PATCH', location, bytes, { 'content-range': text }), 400, 'BLOB_UPLOAD_INVALID');
    }
    await refused(await send('PATCH', location, bytes, { 'content-range': '0-8' }), 400, 'SIZE_INVALID');
    created(await send('PUT', `${location}?digest=${digest}`, bytes, { 'content-range': '0-9' }), name, digest);
  });

  test('the digest must be there, well-formed and right', async () => {
    const name = fresh();
    const { bytes } = sampleBlob(name);
    const wrong = sampleBlob('something else').digest;
    for (const query of ['', '?digest=', '?digest=sha256:abc', '?digest=md5:x', `?digest=${wrong}`]) {
      await refused(await send('PUT', `${await begin(name)}${query}`, bytes), 400, 'DIGEST_INVALID');
    }
    await refused(await send('POST', `/v2/${name}/blobs/uploads/?digest=${wrong}`, bytes), 400, 'DIGEST_INVALID');
    await refused(await send('POST', `/v2/${name}/blobs/uploads/?digest=x`, bytes), 400, 'DIGEST_INVALID');
    await refused(await send('POST', `/v2/${name}/blobs/uploads/?digest-algorithm=md5`), 400, 'DIGEST_INVALID');
  });

  test('a session may be begun for sha512', async () => {
    const name = fresh();
    const { bytes } = sampleBlob(name, 100);
    const digest = hashOf(bytes, 'sha512');
    const location = await begin(name, '?digest-algorithm=sha512');
    assert.equal((await send('PATCH', location, bytes)).status, 202);
    created(await send('PUT', `${location}?digest=${digest}`), name, digest);
  });

  test('a blob that is too large is refused, announced or not', async () => {
    const name = fresh();
    const { bytes, digest } = sampleBlob(name, 4 * mebi + 1);
    await refused(await send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, bytes), 413, 'SIZE_INVALID');
    const location = await begin(name);
    const body = new Blob([new Uint8Array(bytes)]).stream();
    await refused(await registry.ask(location, { method: 'PATCH', body }), 413, 'SIZE_INVALID');
  });

  test('a cancelled, finished or made-up upload is unknown', async () => {
    const name = fresh();
    const { bytes, digest } = sampleBlob(name, 10);
    const cancelled = await begin(name);
    await send('PATCH', cancelled, bytes);
    const answer = await send('DELETE', cancelled);
    assert.equal(answer.status, 204);
    const finished = await begin(name);
    await send('PATCH', finished, bytes);
    created(await send('PUT', `${finished}?digest=${digest}`), name, digest);
    const foreign = (await begin(fresh())).split('/').at(-1);
    const made = [cancelled, finished, `/v2/${name}/blobs/uploads/x`, `/v2/${name}/blobs/uploads/${foreign}`];
    for (const location of made) {
      for (const [method, query] of [
        ['GET', ''],
        ['PATCH', ''],
        ['PUT', `?digest=${digest}`],
        ['DELETE', ''],
      ] as const) {
        const body = method === 'PATCH' || method === 'PUT' ? bytes : undefined;
        await refused(await send(method, `${location}${query}`, body), 404, 'BLOB_UPLOAD_UNKNOWN');
      }
    }
    const another = { authorization: await registry.tokenFor({ type: 'repository', name, actions: ['pull'] }) };
    assert.equal((await send('GET', await begin(name), undefined, another)).status, 401);
  });

  test('one identity may not open uploads without end', async () => {
    const name = fresh();
    const locations: string[] = [];
    const answers: number[] = [];
    for (let index = 0; index < 51; index += 1) {
      const location = await begin(name);
      locations.push(location);
      answers.push((await send('PATCH', location, Buffer.from('x'))).status);
    }
    assert.equal(answers.at(-1), 429);
    for (const location of locations) await send('DELETE', location);
  });

  test('a blob is mounted from where it is', async () => {
    const [source, target] = [fresh(), fresh()];
    const { bytes, digest } = sampleBlob(source, 100);
    await send('POST', `/v2/${source}/blobs/uploads/?digest=${digest}`, bytes);
    for (const from of [`&from=${encodeURIComponent(source)}`, '']) {
      created(await send('POST', `/v2/${target}/blobs/uploads/?mount=${digest}${from}`), target, digest);
    }
    assert((await pull(target, digest)).equals(bytes));
  });

  const fallbacks: readonly [what: string, query: (source: string, digest: string) => string][] = [
    ['a digest that is nowhere', (source) => `mount=${sampleBlob('nowhere').digest}&from=${source}`],
    ['a digest that is nowhere, from anywhere', () => `mount=${sampleBlob('nowhere').digest}`],
    ['a repository that does not hold it', (_source, digest) => `mount=${digest}&from=nowhere`],
    ['a malformed repository', (_source, digest) => `mount=${digest}&from=${encodeURIComponent('../..')}`],
    ['a repository with NUL', (_source, digest) => `mount=${digest}&from=a%00b`],
    ['an empty repository', (_source, digest) => `mount=${digest}&from=`],
    ['a malformed digest', (source) => `mount=sha256:abc&from=${source}`],
  ];
  test('where nothing can be mounted, an upload begins', async () => {
    const [source, target] = [fresh(), fresh()];
    const { bytes, digest } = sampleBlob(source, 100);
    await send('POST', `/v2/${source}/blobs/uploads/?digest=${digest}`, bytes);
    for (const [, query] of fallbacks) await begin(target, `?${query(source, digest)}`);
    assert.equal((await registry.ask(`/v2/${target}/blobs/${digest}`)).status, 404);
  });

  test('a mount does not tell what the caller may not pull', async () => {
    const [source, target] = [fresh(), fresh()];
    const { bytes, digest } = sampleBlob(source, 100);
    await send('POST', `/v2/${source}/blobs/uploads/?digest=${digest}`, bytes);
    const authorization = await registry.tokenFor({ type: 'repository', name: target, actions: ['pull', 'push'] });
    const mount = async (query: string) => {
      const answer = await send('POST', `/v2/${target}/blobs/uploads/?${query}`, undefined, { authorization });
      const varying = ['location', 'docker-upload-uuid', 'x-ms-correlation-request-id'];
      const headers = [...answer.headers].filter(([name]) => !varying.includes(name));
      return { status: answer.status, headers, body: await answer.text() };
    };
    const nowhere = sampleBlob('nowhere').digest;
    assert.deepEqual(await mount(`mount=${digest}&from=${source}`), await mount(`mount=${nowhere}&from=${source}`));
    assert.deepEqual(await mount(`mount=${digest}`), await mount(`mount=${nowhere}`));
    assert.equal((await mount(`mount=${digest}`)).status, 202);
  });

  test('an image goes in and comes out as docker sends it', async () => {
    const name = fresh();
    const blobs = [sampleBlob('config'), sampleBlob(name, mebi)];
    for (const { bytes, digest } of blobs) {
      assert.equal((await send('HEAD', `/v2/${name}/blobs/${digest}`)).status, 404);
      const location = await begin(name);
      assert.equal((await send('PATCH', location, bytes)).status, 202);
      created(await send('PUT', `${location}?digest=${digest}`), name, digest);
      assert.equal((await send('HEAD', `/v2/${name}/blobs/${digest}`)).status, 200);
    }
    const image = sampleImage(blobs);
    const type = { 'content-type': image.mediaType };
    assert.equal((await send('PUT', `/v2/${name}/manifests/latest`, image.bytes, type)).status, 201);
    const pulled = await registry.ask(`/v2/${name}/manifests/latest`);
    assert(Buffer.from(await pulled.arrayBuffer()).equals(image.bytes));
    for (const { bytes, digest } of blobs) assert((await pull(name, digest)).equals(bytes));
  });

  test('50 clients at once push one image to 50 repositories over HTTP: no answer is 5xx', async () => {
    const names = Array.from({ length: 50 }, () => fresh());
    const blobs = [sampleBlob('shared config'), sampleBlob('shared layer', 100_000)];
    const image = sampleImage(blobs);
    const statuses = await Promise.all(
      names.map(async (name) => {
        const pushed = await Promise.all(
          blobs.map(({ bytes, digest }) => send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, bytes)),
        );
        const type = { 'content-type': image.mediaType };
        const tagged = await send('PUT', `/v2/${name}/manifests/latest`, image.bytes, type);
        return [...pushed, tagged].map(({ status }) => status);
      }),
    );
    assert.deepEqual([...new Set(statuses.flat())], [201]);
  });
});
