import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { type BerthServer, startBerth } from '../test/support/berth-server.ts';
import { freePort } from '../test/support/free-port.ts';
import { run } from '../test/support/run.ts';

let server: BerthServer;
let management: number;
/** Of this machine, and not what localhost stands for. */
const managementHost = '127.0.0.2';
before(async () => {
  management = await freePort();
  server = await startBerth({ database: 'sqlite', settings: { management: `${managementHost}:${management}` } });
});
after(async () => {
  await server.remove();
});

type Answer = { readonly status: number; readonly body: string };

/** Over TLS that the private authority vouches for. */
async function ask(port: number, host: string, path: string): Promise<Answer> {
  const sent = request({
    ...{ host: port === management ? managementHost : '127.0.0.1', port, path, agent: false, servername: host },
    ca: readFileSync(server.caPath),
    headers: { host: `${host}:${port}` },
  });
  sent.end();
  const [answer]: IncomingMessage[] = await once(sent, 'response');
  assert.ok(answer);
  return { status: answer.statusCode ?? 0, body: await text(answer) };
}

const controlPaths = [
  { path: '/admin/registries', status: 401, member: 'error' },
  { path: '/subscriptions?api-version=2022-12-01', status: 401, member: 'error' },
  { path: '/graph/v1.0/users', status: 401, member: undefined },
  { path: '/adfs/.well-known/openid-configuration', status: 200, member: undefined },
  { path: '/metadata/clouds', status: 200, member: undefined },
];

test('the control plane answers on its own listener only, under every name it has', async () => {
  for (const { path, status } of controlPaths)
    for (const host of ['localhost', 'management.berth.localhost', 'login.berth.localhost'])
      assert.equal((await ask(management, host, path)).status, status, `${host}${path}`);
});

test('the other listeners do not have it, whatever host is asked', async () => {
  for (const { path, member } of controlPaths) {
    for (const host of ['localhost', 'management.berth.localhost', 'local.berth.localhost']) {
      const { status, body } = await ask(server.ports.https, host, path);
      assert.equal(status, 404, `${host}${path}`);
      if (member !== undefined) assert.ok(member in JSON.parse(body), body);
    }
    assert.equal((await fetch(`${server.http}${path}`)).status, 404, path);
  }
});

test('registries answer on the other listeners only', async () => {
  for (const host of ['localhost', 'local.berth.localhost', 'management.berth.localhost']) {
    for (const path of ['/v2/', '/oauth2/token']) {
      const { status, body } = await ask(management, host, path);
      assert.equal(status, 404, `${host}${path}`);
      assert.ok(Array.isArray(JSON.parse(body).errors), body);
    }
  }
  assert.equal((await ask(server.ports.https, 'localhost', '/v2/')).status, 401);
  assert.equal((await ask(server.ports.https, 'local.berth.localhost', '/v2/')).status, 401);
});

test('probes are answered by all', async () => {
  for (const port of [management, server.ports.https])
    assert.equal((await ask(port, 'localhost', '/readyz')).status, 200, String(port));
});

test('clients are told the address of each', async () => {
  const { endpoints, registry } = server.bootstrap;
  const origin = `https://${managementHost}:${management}`;
  for (const name of ['management', 'login', 'graph']) assert.equal(endpoints[name], origin, name);
  assert.equal(registry.loginServer, `local.berth.localhost:${server.ports.https}`);
  assert.equal(endpoints.registry, `https://${registry.loginServer}`);
  const [cloud] = JSON.parse((await ask(management, 'localhost', '/metadata/clouds')).body);
  assert.equal(cloud.resourceManager, `https://localhost:${management}`);
  assert.equal(cloud.suffixes.acrLoginServer, `berth.localhost:${server.ports.https}`);
});

test('commands and the Azure CLI reach it there', async () => {
  // Settings of the tests are not settings of the program.
  const ours = Object.keys(process.env).filter((name) => name.startsWith('BERTH_'));
  const program = [...ours.flatMap((name) => ['-u', name]), join(import.meta.dirname, '../bin/berth')];
  const berth = (...args: string[]) => run('env', [...program, ...args, '--data', server.dataFolder]);
  assert.match((await berth('registry', 'list')).stdout, /local\.berth\.localhost/);
  assert.match((await berth('doctor')).stdout, /server answers, certificate trusted/);
  const { stdout } = await berth('az-cloud', '--cloud-only');
  assert.ok(stdout.includes(`"resourceManager":"https://${managementHost}:${management}"`), stdout);
  assert.ok(stdout.includes(`"acrLoginServerEndpoint":".berth.localhost:${server.ports.https}"`), stdout);
});
