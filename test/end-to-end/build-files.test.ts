import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { RunResult } from '../../src/wire/builds/agent-protocol.ts';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';

// Signed addresses: what goes in and comes out, and who may not. Source: az wire document, section 4.

const failed: RunResult = { status: 'Failed', images: [], dependencies: [] };
let server: BerthServer;
let agent: HandAgent;
let arm: Awaited<ReturnType<typeof armCaller>>;

before(async () => {
  server = await startBerth({ settings: { builds: 'off', 'build-context-limit': '64KiB' } });
  agent = await HandAgent.join(server);
  arm = await armCaller(server);
});
after(() => server.remove());

const uploadSchema = z.object({ uploadUrl: z.string(), relativePath: z.string() });
const runSchema = z.looseObject({ name: z.string() });
const whole = { 'x-ms-blob-type': 'BlockBlob' };

/** The same address on a host that needs no name to resolve. */
const local = (url: string) => {
  const { pathname, search } = new URL(url);
  return `${server.http}${pathname}${search}`;
};
const newUpload = async () => {
  const { uploadUrl, relativePath } = uploadSchema.parse(await arm.post('listBuildSourceUploadUrl'));
  return { url: local(uploadUrl), uploadUrl, relativePath };
};
const put = async (url: string, body: string, headers: Readonly<Record<string, string>> = whole) =>
  await fetch(url, { method: 'PUT', body, headers });
const schedule = async (more: object = {}) => {
  const request = { type: 'EncodedTaskRunRequest', encodedTaskContent: Buffer.from('steps: []').toString('base64') };
  return runSchema.parse(await arm.post('scheduleRun', { ...request, ...more })).name;
};
const logAddress = async (runId: string) => {
  const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${runId}/listLogSasUrl`));
  return local(logLink);
};

test('addresses name the storage host of the registry, and say what they are good for', async () => {
  const { uploadUrl, relativePath } = await newUpload();
  const { host, pathname, searchParams } = new URL(uploadUrl);
  assert.equal(host, `local.blob.berth.localhost:${server.ports.https}`);
  assert.equal(pathname, `/build-files/${relativePath}`);
  assert.deepEqual([...searchParams.keys()], ['sv', 'se', 'sr', 'sp', 'sig']);
});

test('blocks sent out of order become the files of a run', async () => {
  const { url, relativePath } = await newUpload();
  const ids = ['a', 'b', 'c'].map((letter) => Buffer.from(letter).toString('base64'));
  for (const [index, id] of [...ids.entries()].toReversed()) {
    const answer = await put(`${url}&comp=block&blockid=${encodeURIComponent(id)}`, `part ${index};`, {});
    assert.equal(answer.status, 201);
  }
  const list = `<?xml version="1.0"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`;
  const committed = await put(`${url}&comp=blocklist`, list, {});
  assert.deepEqual([committed.status, committed.headers.has('etag')], [201, true]);
  await schedule({ sourceLocation: relativePath });
  const order = await agent.take();
  assert.equal(String(await agent.files(order)), 'part 0;part 1;part 2;');
  await agent.finish(order, []);
});

test('whoever changed anything of an address, or comes too late, is refused', async () => {
  const { url, relativePath } = await newUpload();
  const other = await newUpload();
  const changes: [string, string][] = [
    ['another path', url.replace(relativePath, other.relativePath)],
    ['a later end', url.replace(/se=[^&]+/, `se=${encodeURIComponent('2099-01-01T00:00:00Z')}`)],
    ['another permission', url.replace('sp=cw', 'sp=r')],
    ['no signature', url.replace(/&sig=.*/, '')],
    ['a signature of nothing', url.replace(/sig=.*/, 'sig=AAAA')],
  ];
  for (const [what, address] of changes) {
    const { status, headers } = await put(address, 'x');
    assert.equal(status, 403, what);
    assert.equal(headers.get('x-ms-error-code'), 'AuthenticationFailed', what);
  }
  assert.equal((await fetch(url)).status, 405);
  assert.equal((await put(url, 'right')).status, 201);
  await schedule({ sourceLocation: relativePath });
  assert.equal((await put(url, 'changed afterwards')).status, 403);
  const order = await agent.take();
  assert.equal(String(await agent.files(order)), 'right');
  await agent.finish(order, []);
});

test('what is too much or makes no sense is refused with its reason', async () => {
  const { url, relativePath } = await newUpload();
  assert.equal((await put(url, 'x'.repeat(70_000))).status, 413);
  for (const [what, address, body, headers] of [
    ['another kind of blob', url, 'x', { 'x-ms-blob-type': 'PageBlob' }],
    ['another operation', `${url}&comp=lease`, 'x', {}],
    ['a block without an id', `${url}&comp=block`, 'x', {}],
    ['a block with a strange id', `${url}&comp=block&blockid=%00%00`, 'x', {}],
    ['a list that is none', `${url}&comp=blocklist`, '<a/>', {}],
    ['a list with an entity', `${url}&comp=blocklist`, '<!DOCTYPE a [<!ENTITY b "c">]><BlockList/>', {}],
    ['a list of unknown blocks', `${url}&comp=blocklist`, '<BlockList><Latest>YQ==</Latest></BlockList>', {}],
  ] as const)
    assert.equal((await put(address, body, headers)).status, 400, what);
  const { error } = await arm.refused('scheduleRun', {
    ...{ type: 'FileTaskRunRequest', taskFilePath: 'acb.yaml', sourceLocation: relativePath },
  });
  assert.equal(error.code, 'SourceLocationNotFound');
});

/** As the library in `az` names itself: for it an answer without news is held. */
const asAz = { 'user-agent': 'Azure-Storage/2.0.0-2.0.0 (Python CPython 3.11.2; Linux 6.1)' };

test('a log is empty before its first byte, grows, and says when it has ended', async () => {
  const runId = await schedule();
  const address = await logAddress(runId);
  const before = await fetch(address, { method: 'HEAD', headers: { 'if-none-match': '*' } });
  assert.deepEqual([before.status, before.headers.get('content-length')], [200, '0']);
  const following = fetch(address, { method: 'HEAD', headers: asAz });
  const order = await agent.take();
  await agent.client.log(order.lease, 0, Buffer.from('first\n'));
  const head = await following;
  assert.deepEqual(
    ['content-length', 'x-ms-blob-type', 'accept-ranges', 'x-ms-meta-complete'].map((name) => head.headers.get(name)),
    ['7', 'AppendBlob', 'bytes', null],
  );
  const part = await fetch(address, { headers: { 'x-ms-range': 'bytes=2-4097' } });
  assert.deepEqual(
    [part.status, part.headers.get('content-range'), await part.text()],
    [206, 'bytes 2-6/7', 'rst\r\n'],
  );
  const beyond = await fetch(address, { headers: { 'x-ms-range': 'bytes=7-10' } });
  assert.deepEqual([beyond.status, beyond.headers.get('x-ms-error-code')], [416, 'InvalidRange']);
  await agent.finish({ ...order, logOffset: 6 }, ['last'], failed);
  const ended = await fetch(address, { method: 'HEAD' });
  assert.equal(ended.headers.get('x-ms-meta-complete'), 'failed');
  assert.match(await (await fetch(address)).text(), /^first\r\nlast\r\nRun ID: \w+ failed\r\n$/);
  assert.equal((await fetch(address, { method: 'PUT', body: 'x', headers: whole })).status, 405);
});

test('no run is given to an agent that left while it waited', async () => {
  const left = new AbortController();
  const waiting = agent.client.lease(
    { agent: 'gone', executor: 'hand', isolation: 'none', platforms: [{ os: 'linux', architecture: 'amd64' }] },
    left.signal,
  );
  await sleep(1_000);
  left.abort();
  await assert.rejects(waiting);
  await sleep(500);
  const runId = await schedule();
  const began = Date.now();
  const order = await agent.take();
  assert.deepEqual([order.runId, order.attempt], [runId, 1]);
  assert(Date.now() - began < 10_000);
  await agent.finish(order, []);
});

test('agents are known by their token alone', async () => {
  const refused = async (authorization: string | undefined, path: string) => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    return (await fetch(`${server.http}/agent/v1/${path}`, { method: 'POST', body: '{}', headers })).status;
  };
  const { userName, password } = server.bootstrap.owner;
  const owner = `Basic ${Buffer.from(`${userName}:${password}`).toString('base64')}`;
  for (const header of [undefined, 'Bearer wrong', 'Bearer', owner, `Bearer ${'x'.repeat(300)}`])
    for (const path of ['lease', 'leases/x/log?offset=0', 'leases/x/finish'])
      assert.equal(await refused(header, path), 401, `${header} ${path}`);
});

test('whoever follows a log keeps no server from stopping', async () => {
  const runId = await schedule();
  const following = fetch(await logAddress(runId), { method: 'HEAD', headers: asAz });
  await sleep(1_000);
  const began = Date.now();
  await server.stop();
  const answer = await following;
  assert.deepEqual([answer.status, answer.headers.get('content-length')], [200, '0']);
  assert(Date.now() - began < 10_000);
});
