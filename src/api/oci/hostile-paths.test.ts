import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { rawHttp } from '../../../test/support/raw-http.ts';
import { type RegistryApp, registryApp } from '../../../test/support/registry-app.ts';

const secret = 'the canary sings';
const digest = `sha256:${'a'.repeat(64)}`;

/** Ways to write "the folder above". */
const steps = [
  '../',
  '..%2f',
  '..%2F',
  '%2e%2e/',
  '%2e%2e%2f',
  '.%2e/',
  '..\\',
  '..%5c',
  '%2e%2e%5c',
  '%252e%252e%252f',
  '..%252f',
  '..%c0%af',
  '%c0%ae%c0%ae/',
  '..%ef%bc%8f',
  '....//',
  '..;/',
  '..%00/',
  '%2e%2e;/',
  '..%09/',
  '%u002e%u002e/',
];

/** Where a request names something. */
const places: readonly [method: string, at: (name: string) => string][] = [
  ['GET', (name) => `/${name}`],
  ['GET', (name) => `/v2/${name}`],
  ['GET', (name) => `/v2/${name}/manifests/latest`],
  ['GET', (name) => `/v2/${name}/tags/list`],
  ['GET', (name) => `/v2/app/manifests/${name}`],
  ['PUT', (name) => `/v2/app/manifests/${name}`],
  ['DELETE', (name) => `/v2/app/manifests/${name}`],
  ['GET', (name) => `/v2/app/blobs/${name}`],
  ['GET', (name) => `/v2/app/blobs/sha256:${name}`],
  ['DELETE', (name) => `/v2/app/blobs/${name}`],
  ['POST', (name) => `/v2/${name}/blobs/uploads/`],
  ['POST', (name) => `/v2/app/blobs/uploads/?digest=${name}`],
  ['POST', (name) => `/v2/app/blobs/uploads/?mount=${name}&digest=${name}`],
  ['PATCH', (name) => `/v2/app/blobs/uploads/${name}`],
  ['PUT', (name) => `/v2/app/blobs/uploads/${name}?digest=${digest}`],
  ['GET', (name) => `/v2/app/blobs/uploads/${name}`],
  ['DELETE', (name) => `/v2/app/blobs/uploads/${name}`],
  ['GET', (name) => `/v2/app/referrers/${name}`],
];

const depths = [1, 4];

forEachDatabase((_, open) => {
  let registry: RegistryApp;
  let server: Awaited<ReturnType<RegistryApp['listen']>>;

  before(async () => {
    registry = await registryApp(await open());
    server = await registry.listen();
    writeFileSync(join(registry.folder.path, 'canary'), secret);
  });
  after(async () => {
    await server.close();
    await registry.close();
  });

  const ask = (method: string, path: string, body = secret) =>
    rawHttp(
      server.port,
      [
        `${method} ${path} HTTP/1.1`,
        'Host: localhost',
        `Authorization: ${registry.admin}`,
        'Connection: close',
        `Content-Length: ${method === 'GET' || method === 'DELETE' ? 0 : body.length}`,
        '',
        method === 'GET' || method === 'DELETE' ? '' : body,
      ].join('\r\n'),
    );

  test(`${steps.length * places.length * depths.length} ways out of the data folder lead nowhere`, async () => {
    for (const step of steps) {
      for (const depth of depths) {
        const answers = await Promise.all(
          places.map(async ([method, at]) => {
            const path = at(`${step.repeat(depth)}canary`);
            return { what: `${method} ${path}`, ...(await ask(method, path)) };
          }),
        );
        for (const { what, status, head, body } of answers) {
          assert(status >= 400 && status < 500, `${what}: ${head}`);
          assert(!body.includes(secret), what);
        }
      }
    }
    assert.deepEqual(readdirSync(registry.folder.path).sort(), ['canary', 'data']);
    assert.deepEqual(readdirSync(join(registry.folder.path, 'data')).sort(), ['blobs', 'incoming']);
    assert.deepEqual(readdirSync(join(registry.folder.path, 'data', 'incoming')), []);
    assert.equal(readFileSync(join(registry.folder.path, 'canary'), 'utf8'), secret);
    const repositories = await registry.content.database.read.selectFrom('repositories').select('name').execute();
    assert.deepEqual(repositories, []);
  });

  test('dots that lead back inside name what they lead to', async () => {
    const { status, head } = await ask('POST', '/v2/./a/../app/blobs/uploads/');
    assert.equal(status, 202);
    assert.match(head, /^location: \/v2\/app\/blobs\/uploads\//m);
  });

  const hostile: readonly [what: string, path: string, status: number][] = [
    ['an absolute address', 'http://localhost/v2/app/manifests/latest', 404],
    ['an absolute address of another host', 'http://evil.example/v2/app/manifests/latest', 404],
    ['a path of 8,000 characters', `/v2/${'a/'.repeat(4000)}manifests/x`, 404],
    ['a raw byte outside ASCII', '/v2/\u00e9/manifests/x', 400],
    ['many question marks', '/v2/app/tags/list?????n=1', 404],
    ['10,000 parameters', `/v2/app/tags/list?${'n=1&'.repeat(3500)}`, 404],
    ['a fragment', '/v2/app/manifests/x#y', 404],
  ];
  for (const [what, path, status] of hostile) {
    test(`${what} is answered ${status}`, async () => {
      const answer = await ask('GET', path);
      assert.equal(answer.status, status, answer.head + answer.body.slice(0, 200));
    });
  }

  test('headers that are too large are refused in form', async () => {
    const request = `GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`;
    const { status, body } = await rawHttp(server.port, request);
    assert.equal(status, 431);
    assert.equal(JSON.parse(body).errors[0].code, 'BAD_REQUEST');
  });

  test('what is no HTTP is refused in form', async () => {
    const { status, body } = await rawHttp(server.port, 'NONSENSE\r\n\r\n');
    assert.equal(status, 400);
    assert.equal(JSON.parse(body).errors[0].code, 'BAD_REQUEST');
  });

  test('two lengths in one request are refused', async () => {
    for (const headers of [
      'Content-Length: 1\r\nContent-Length: 2',
      'Content-Length: 5\r\nTransfer-Encoding: chunked',
    ]) {
      const request = `POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n\r\n0\r\n\r\n`;
      assert.equal((await rawHttp(server.port, request)).status, 400);
    }
  });
});
