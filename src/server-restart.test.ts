import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBerth } from '../test/support/berth-server.ts';
import { freePort } from '../test/support/free-port.ts';

test('a first start that was killed before its last step is finished by the next', async () => {
  await using server = await startBerth();
  await server.kill();
  const { tenantId, owner } = server.bootstrap;
  const file = join(server.dataFolder, 'bootstrap.json');
  rmSync(file);
  writeFileSync(join(server.dataFolder, 'bootstrap.unfinished.json'), JSON.stringify({ tenantId, owner }));
  const again = await startBerth(server.again);
  await again.stop();
  assert.deepEqual(again.bootstrap, server.bootstrap);
});

test('bootstrap.json follows addresses that change', async () => {
  await using server = await startBerth();
  await server.stop();
  const ports = { http: await freePort(), https: await freePort() };
  const moved = await startBerth({ ...server.again, ports });
  await moved.stop();
  assert.equal(moved.bootstrap.registry.loginServer, `local.berth.localhost:${ports.https}`);
  assert.equal(moved.bootstrap.endpoints.management, `https://localhost:${ports.https}`);
  assert.deepEqual(moved.bootstrap.owner, server.bootstrap.owner);
});

test('SIGTERM refuses new connections, finishes what is in flight, and ends with exit code 0', async () => {
  await using server = await startBerth();
  const { username, password } = server.admin;
  const upload = request(`${server.http}/v2/x/blobs/uploads/?digest=sha256:${sha256OfHello}`, {
    method: 'POST',
    auth: `${username}:${password}`,
    headers: { 'Content-Length': 5, 'Content-Type': 'application/octet-stream', Expect: '100-continue' },
  });
  const answered = once(upload, 'response');
  upload.flushHeaders();
  // The server has taken it.
  await once(upload, 'continue');
  upload.write('hel');
  server.signal('SIGTERM');
  while (!server.log().includes('"msg":"stopping"')) await fetch(`${server.http}/healthz`).catch(() => undefined);
  await assert.rejects(fetch(`${server.http}/healthz`));
  upload.end('lo');
  const [response] = await answered;
  assert.equal(response.statusCode, 201);
  response.resume();
  assert.equal(await server.exited, 0);
});

test('the log of a server is JSON, line by line, and holds no secret', async () => {
  await using server = await startBerth({ settings: { 'log-level': 'debug' } });
  const { username, password } = server.admin;
  const credentials = Buffer.from(`${username}:${password}`).toString('base64');
  const { loginServer } = server.bootstrap.registry;
  const token = await fetch(`${server.http}/oauth2/token?service=${loginServer}&scope=repository:x:pull`, {
    headers: { authorization: `Basic ${credentials}` },
  });
  const { access_token: accessToken } = await token.json();
  await fetch(`${server.http}/v2/x/tags/list`, { headers: { authorization: `Bearer ${accessToken}` } });
  await server.stop();
  const lines = server.log().split('\n');
  assert.ok(lines.filter((line) => line.startsWith('{')).every((line) => typeof JSON.parse(line).msg === 'string'));
  for (const secret of [password, credentials, accessToken, server.bootstrap.owner.password]) {
    assert.ok(!server.log().includes(secret));
  }
  assert.match(server.log(), /"path":"\/v2\/x\/tags\/list"/);
});

const sha256OfHello = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
