import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { type BerthServer, startBerth } from '../test/support/berth-server.ts';
import { freePort } from '../test/support/free-port.ts';
import { tryRun } from '../test/support/run.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';

let server: BerthServer;
before(async () => {
  server = await startBerth({ database: 'sqlite', settings: { 'trusted-proxies': '127.0.0.1' } });
});
after(async () => {
  await server.remove();
});

type Answer = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: string };

async function ask(path: string, options: RequestOptions & { readonly body?: string | Buffer } = {}): Promise<Answer> {
  const { body, ...rest } = options;
  const request = httpRequest(`${server.http}${path}`, { agent: false, ...rest });
  request.end(body);
  return await answerOf(request);
}

async function answerOf(request: ReturnType<typeof httpRequest>): Promise<Answer> {
  const [response]: IncomingMessage[] = await once(request, 'response');
  assert.ok(response);
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
}

const registryHost = () => `local.berth.localhost:${server.ports.https}`;
const codeOf = ({ body }: Answer): unknown => JSON.parse(body).errors[0].code;
const owner = () => `${server.bootstrap.owner.userName}:${server.bootstrap.owner.password}`;

const berth = (...args: string[]) => {
  // Settings of the tests are not settings of the program.
  const ours = Object.keys(process.env).filter((name) => name.startsWith('BERTH_'));
  return tryRun('env', [...ours.flatMap((name) => ['-u', name]), join(import.meta.dirname, '../bin/berth'), ...args]);
};

test('the first start leaves a folder and secrets that only this user can read', () => {
  assert.equal(statSync(server.dataFolder).mode & 0o777, 0o700);
  for (const name of ['bootstrap.json', 'master.key', 'berth.sqlite', 'certificates/ca-key.pem']) {
    assert.equal(statSync(join(server.dataFolder, name)).mode & 0o777, 0o600, name);
  }
});

test('each host gets the surface it stands for', async () => {
  const cases = [
    { host: 'localhost', path: '/v2/', status: 401 },
    { host: '127.0.0.1', path: '/v2/', status: 401 },
    { host: '[::1]:5000', path: '/admin/registries', status: 401 },
    { host: registryHost(), path: '/v2/', status: 401 },
    { host: registryHost().toUpperCase(), path: '/v2/', status: 401 },
    { host: registryHost(), path: '/admin/registries', status: 404 },
    { host: 'management.berth.localhost', path: '/admin/registries', status: 401 },
    { host: 'management.berth.localhost', path: '/adfs/.well-known/openid-configuration', status: 200 },
    { host: 'login.berth.localhost', path: '/common/v2.0/.well-known/openid-configuration', status: 200 },
    { host: 'login.berth.localhost', path: '/metadata/clouds', status: 200 },
    { host: 'login.berth.localhost', path: '/graph/v1.0/users', status: 401 },
    { host: 'login.berth.localhost', path: '/subscriptions', status: 401 },
    { host: 'login.berth.localhost', path: '/v2/', status: 404 },
    { host: 'local.berth.localhost', path: '/adfs/.well-known/openid-configuration', status: 404 },
    { host: 'local.berth.localhost', path: '/metadata/clouds', status: 404 },
    { host: 'local.berth.localhost', path: '/graph/v1.0/users', status: 404 },
    { host: 'local.berth.localhost', path: '/subscriptions', status: 404 },
    { host: 'management.berth.localhost', path: '/v2/', status: 404 },
    { host: 'other.berth.localhost', path: '/v2/', status: 421 },
    { host: 'registry.example', path: '/v2/', status: 421 },
    { host: 'registry.example', path: '/healthz', status: 200 },
    { host: 'localhost', path: '/v2/x/unknown/y', status: 404 },
    { host: 'localhost', path: '/nothing', status: 404 },
    { host: 'localhost', path: '/', status: 200 },
  ];
  for (const { host, path, status } of cases) {
    assert.equal((await ask(path, { headers: { host } })).status, status, `${host}${path}`);
  }
});

test('every answer carries the standard headers and a correlation id that is echoed when it is a GUID', async () => {
  const id = '0f8fad5b-d9cb-469f-a165-70867728950e';
  const echoed = await ask('/v2/', { headers: { 'x-ms-correlation-request-id': id } });
  assert.equal(echoed.headers['x-ms-correlation-request-id'], id);
  assert.equal(echoed.headers['docker-distribution-api-version'], 'registry/2.0');
  assert.equal(echoed.headers['x-content-type-options'], 'nosniff');
  assert.equal(echoed.headers['strict-transport-security'], undefined);
  const other = await ask('/', { headers: { 'x-ms-correlation-request-id': 'a\tb' } });
  assert.match(String(other.headers['x-ms-correlation-request-id']), /^[0-9a-f-]{36}$/);
});

test('the challenge names the origin that the client used, also behind a trusted proxy', async () => {
  const direct = await ask('/v2/', { headers: { host: registryHost() } });
  assert.match(String(direct.headers['www-authenticate']), new RegExp(`realm="http://${registryHost()}/oauth2/token"`));
  const headers = {
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'local.berth.localhost',
    'x-forwarded-for': '192.0.2.1',
  };
  const proxied = await ask('/v2/', { headers });
  assert.match(String(proxied.headers['www-authenticate']), /realm="https:\/\/local\.berth\.localhost\/oauth2\/token"/);
  assert.match(String(proxied.headers['strict-transport-security']), /max-age/);
});

test('https is trusted through the private authority, by name and by address', async () => {
  for (const host of ['localhost', '127.0.0.1', 'local.berth.localhost']) {
    const request = httpsRequest({
      host: '127.0.0.1',
      port: server.ports.https,
      path: '/v2/',
      ca: readFileSync(server.caPath),
      agent: false,
      servername: host === '127.0.0.1' ? '' : host,
      headers: { host },
    });
    request.end();
    const answer = await answerOf(request);
    assert.equal(answer.status, 401, host);
    assert.match(String(answer.headers['strict-transport-security']), /max-age/);
  }
});

test('metrics are for callers on this machine only', async () => {
  const metrics = await ask('/metrics');
  assert.equal(metrics.status, 200);
  assert.match(metrics.body, /berth_http_request_seconds_count\{method="GET",route="\/v2\/",status="401"\}/);
  assert.equal((await ask('/metrics', { headers: { host: registryHost() } })).status, 404);
  assert.equal((await ask('/metrics', { headers: { 'x-forwarded-for': '192.0.2.1' } })).status, 404);
  const asBuilds = { family: 4, localAddress: '127.0.0.2' };
  assert.equal((await ask('/metrics', asBuilds)).status, 404);
});

test('headers beyond 16 KiB and requests that are none get an answer in our form', async () => {
  const long = await ask('/v2/', { headers: { 'x-long': 'x'.repeat(20_000) } });
  assert.equal(long.status, 431);
  assert.equal(codeOf(long), 'BAD_REQUEST');
  assert.match(await raw('NONSENSE\r\n\r\n'), /^HTTP\/1\.1 400 .*"BAD_REQUEST"/s);
  assert.match(await raw('GET /v2/ HTTP/1.1\r\nHost: a@b\r\n\r\n'), /^HTTP\/1\.1 4(00|21) /);
});

test('a refused upload gets its answer; a small one keeps its connection, a large one loses it', async () => {
  const post = 'POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length:';
  const small = await raw(
    `${post} 1000\r\n\r\n${'x'.repeat(1000)}GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
  );
  assert.match(small, /^HTTP\/1\.1 401 .*\r\nConnection: keep-alive\r\n.*HTTP\/1\.1 200 /s);
  const answer = await raw(`${post} 10000000000\r\n\r\n${'x'.repeat(100_000)}`);
  assert.match(answer, /^HTTP\/1\.1 401 /);
  assert.match(answer, /\r\nConnection: close\r\n/i);
});

test('100 Continue is written only after authentication', async () => {
  const head = 'POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n';
  assert.match(await raw(`${head}\r\n`), /^HTTP\/1\.1 401 /);
  const { username, password } = server.admin;
  const credentials = Buffer.from(`${username}:${password}`).toString('base64');
  const started = await ask('/v2/x/blobs/uploads/', {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
  });
  const location = String(started.headers.location).replace(/^https?:\/\/[^/]*/, '');
  const allowed = `PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${credentials}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
  assert.match(await raw(allowed, 'hello'), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 202 /);
});

test('the admin API is for owners and says what is wrong', async () => {
  const { username, password } = server.admin;
  assert.equal((await ask('/admin/registries', { auth: `${username}:${password}` })).status, 403);
  const made = await ask('/admin/registries', { method: 'POST', auth: owner(), body: '{"name":"Team01"}' });
  assert.equal(made.status, 201);
  assert.equal(JSON.parse(made.body).loginServer, `team01.berth.localhost:${server.ports.https}`);
  assert.equal((await ask('/v2/', { headers: { host: 'team01.berth.localhost' } })).status, 401);
  const cases = [
    { body: '{"name":"team01"}', status: 409 },
    { body: '{"name":"a b"}', status: 400 },
    { body: '{"name":"fine5","colour":"red"}', status: 400 },
    { body: '{', status: 400 },
    { body: 'x'.repeat(2 ** 21), status: 413 },
  ];
  for (const { body, status } of cases) {
    const answer = await ask('/admin/registries', { method: 'POST', auth: owner(), body });
    assert.equal(answer.status, status, body.slice(0, 30));
    assert.equal(typeof JSON.parse(answer.body).error.remedy, 'string');
  }
});

test('commands reach the server, and their exit codes tell how it went', async () => {
  const here = (...args: string[]) => berth(...args, '--data', server.dataFolder);
  const shown = await here('credential', 'show', 'local', '--value');
  assert.equal(shown.stdout.trim(), server.admin.password);
  assert.equal((await here('registry', 'show', 'nobody')).code, 3);
  assert.equal((await here('registry', 'shwo')).code, 2);
  const doctor = await here('doctor');
  assert.equal(doctor.code, 0, doctor.stdout);
  const second = await here('serve');
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`in use by the process ${server.pid}`));
});

test('a command that finds no server says where it looked and what to do', async () => {
  const nowhere = `https://localhost:${await freePort()}`;
  const { code, stderr } = await berth('registry', 'list', '--data', server.dataFolder, '--server', nowhere);
  assert.equal(code, 1);
  assert.equal(
    stderr.trim(),
    `berth: no server answers at ${nowhere} (ECONNREFUSED): start it with berth serve, or give --server or --data`,
  );
});

test('a server that cannot listen names the setting, and one that would listen nowhere does not start', async () => {
  const folder = temporaryFolder('addresses');
  try {
    const [data, taken] = [folder.path, `localhost:${server.ports.http}`];
    const inUse = await berth('serve', '--data', data, '--http', 'none', '--https', taken);
    assert.equal(inUse.code, 1);
    assert.match(inUse.stderr, /cannot serve --https: listen EADDRINUSE.*give --https another one/);
    const nowhere = await berth('serve', '--data', data, '--http', 'none', '--https', 'none');
    assert.equal(nowhere.code, 2);
    assert.match(nowhere.stderr, /http and https are none/);
  } finally {
    folder.remove();
  }
});

/** Sends bytes as they are, the second part after the first answer; resolves with all that came until the end. */
async function raw(first: string, second?: string): Promise<string> {
  const socket: Socket = connect(server.ports.http, '127.0.0.1');
  const answer = text(socket);
  socket.on('error', () => {
    // A connection that the server cuts after its answer: what came before counts.
  });
  socket.write(first);
  if (second !== undefined) {
    await once(socket, 'readable');
    socket.write(second);
  }
  const timer = setTimeout(() => socket.end(), 2_000);
  try {
    return await answer;
  } finally {
    clearTimeout(timer);
  }
}
