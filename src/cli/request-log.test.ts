import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestLog } from './request-log.ts';

const line = {
  level: 'debug',
  time: '2030-01-01T00:00:01.500Z',
  msg: 'request',
  method: 'GET',
  path: '/v2/samples/hello/manifests/v1',
  status: 200,
  registry: 'contoso',
  identity: 'uid-of-anna',
  identityName: 'Anna',
};

const classes = [
  ['GET', '/v2/', 'read'],
  ['HEAD', '/v2/samples/hello/blobs/sha256:1', 'read'],
  ['GET', '/v2/samples/hello/referrers/sha256:1', 'referrers'],
  ['POST', '/v2/samples/hello/blobs/uploads/', 'write'],
  ['PATCH', '/acr/v1/samples/hello', 'write'],
  ['DELETE', '/acr/v1/samples/hello/_tags/v1', 'delete'],
  ['POST', '/oauth2/token', 'oauth'],
  ['GET', '/v2/referrers/tags/list', 'read'],
] as const;

for (const [method, path, requestClass] of classes) {
  test(`${method} ${path} is counted as ${requestClass}`, () => {
    assert.equal(new RequestLog().read(JSON.stringify({ ...line, method, path }))?.requestClass, requestClass);
  });
}

test('a request has its time, and its identity a name', () => {
  const log = new RequestLog();
  assert.deepEqual(log.read(JSON.stringify(line)), {
    atMicros: Date.UTC(2030, 0, 1, 0, 0, 1, 500) * 1_000,
    registry: 'contoso',
    identity: 'uid-of-anna',
    requestClass: 'read',
  });
  assert.equal(log.nameOf('uid-of-anna'), 'Anna');
  assert.equal(log.requests, 1);
});

const passedOver = [
  ['no JSON', 'GET / 200'],
  ['nothing', ''],
  ['null', 'null'],
  ['another message', JSON.stringify({ ...line, msg: 'ready' })],
  ['no time', JSON.stringify({ ...line, time: 'today' })],
  ['nobody was let in', JSON.stringify({ ...line, status: 401, identity: undefined })],
  ['the control plane', JSON.stringify({ ...line, path: '/admin/registries' })],
  ['a method of no route', JSON.stringify({ ...line, method: 'TRACE' })],
] as const;

for (const [reason, text] of passedOver) {
  test(`passed over: ${reason}`, () => {
    const log = new RequestLog();
    assert.equal(log.read(text), undefined);
    assert.equal(log.requests, 0);
  });
}
