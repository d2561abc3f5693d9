import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fetchGit, type GitHead } from '../../src/agent/context/git-context.ts';
import type { Cell } from '../../src/agent/executors/cell.ts';
import { createOutboundProxy } from '../../src/agent/executors/outbound-proxy.ts';
import { openUserCell } from '../../src/agent/executors/user-cell.ts';
import { RunFailure } from '../../src/agent/run-failure.ts';
import { createAddressCheck } from '../../src/platform/outbound/address-check.ts';
import { GitServer } from '../support/git-server.ts';
import { run, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// Repositories with tags and with large files, fetched in a room by git and by Debian's git-lfs.

const folder = temporaryFolder('git-lfs');
const token = 'a-token-for-lfs';
const large = Buffer.from('a large file, really\n');
const oid = createHash('sha256').update(large).digest('hex');
const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${large.byteLength}\n`;
const name = 'git.example';
let cell: Cell;
let server: GitServer;
const asked: string[] = [];

/** Large files as servers of git have them, beside the repositories. Source: git-lfs, "Batch API". */
const lfs = createServer((incoming, response) => {
  const { url = '' } = incoming;
  if (!url.includes('/info/lfs')) return passOn(incoming, response);
  const given = Buffer.from(incoming.headers.authorization?.split(' ')[1] ?? '', 'base64').toString();
  asked.push(`${incoming.method} ${url} ${given}`);
  if (given !== `dummy:${token}`) return void response.writeHead(403).end();
  if (url.endsWith('/objects/batch')) {
    const href = `http://${incoming.headers.host}/app.git/info/lfs/objects/${oid}`;
    const objects = [{ oid, size: large.byteLength, actions: { download: { href } } }];
    response.writeHead(200, { 'content-type': 'application/vnd.git-lfs+json' });
    return void response.end(JSON.stringify({ transfer: 'basic', objects }));
  }
  response.end(large);
});

function passOn(incoming: IncomingMessage, response: ServerResponse): void {
  const target = request(
    `${server.origin}${incoming.url}`,
    { method: incoming.method, headers: incoming.headers },
    (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    },
  );
  incoming.pipe(target);
}

before(async () => {
  // What the repository is made with takes no part in it: its files are pointers already.
  process.env.GIT_CONFIG_NOSYSTEM = '1';
  const limits = { cpus: 1, memoryMiB: 256, diskMiB: 128, processes: 64 };
  const root = join(folder.path, 'runs');
  cell = await openUserCell({ name: `lfs-${process.pid}`, root, limits, firstUserId: 1_900_000_000, hosts: [] });
  server = await GitServer.start(join(folder.path, 'git'), token);
  lfs.listen(0, '127.0.0.1');
  await once(lfs, 'listening');
  const address = lfs.address();
  assert.ok(typeof address === 'object' && address !== null);
  // git-lfs asks no proxy for addresses of loopback.
  const hosts = new Map([[name, { host: '127.0.0.1', port: address.port }]]);
  await cell.listen(3129, createOutboundProxy({ isAllowed: createAddressCheck([]), hosts }));
  await server.commit('app.git', 'main', {
    '.gitattributes': '*.bin filter=lfs -text\n',
    'a.bin': pointer,
    plain: 'plain\n',
  });
  await server.commit('plain.git', 'main', { plain: 'plain\n' });
  for (const repository of ['app.git', 'plain.git'])
    await run('git', ['-C', join(folder.path, 'git', repository), 'tag', 'v1.0', 'main']);
});
after(async () => {
  await cell.close();
  await server[Symbol.asyncDispose]();
  lfs.closeAllConnections();
  lfs.close();
  folder.remove();
});

async function fetched(repository: string, ref?: string, room = cell): Promise<GitHead> {
  await cell.read(['sh', '-c', 'rm -rf workspace clone; mkdir workspace']);
  return await fetchGit(room, {
    url: `http://${name}/${repository}`,
    ref,
    folder: undefined,
    accessToken: token,
    target: `${cell.folder}/workspace`,
    proxyUrl: `http://${cell.address}:3129`,
    signal: AbortSignal.timeout(60_000),
  });
}

const hasLfs = (await tryRun('git', ['lfs', 'version'])).code === 0;
const skip = hasLfs ? false : 'git-lfs is not installed: apt-get install git-lfs';
test('large files are there, fetched with the token of the repository', { skip }, async () => {
  await fetched('app.git', 'main');
  assert.equal(await cell.read(['cat', 'workspace/a.bin']), large.toString());
  assert.equal(await cell.read(['cat', 'workspace/plain']), 'plain\n');
  assert.match(asked.join('\n'), /^POST \/app.git\/info\/lfs\/objects\/batch dummy:a-token-for-lfs$/m);
});

test('without git-lfs on the machine it is refused, and other repositories are not', async () => {
  const without: Cell = {
    ...cell,
    read: async (words, program) => {
      if (words.includes('lfs')) throw new Error('git: lfs is not a git command');
      return await cell.read(words, program);
    },
  };
  await assert.rejects(fetched('app.git', 'main', without), (error: Error) => {
    return error instanceof RunFailure && /has no git-lfs: install it there/.test(error.message);
  });
  await fetched('plain.git', 'main', without);
});

test('a tag is told as a tag, a branch as a branch', async () => {
  const { tag, branch, commit, repository } = await fetched('plain.git', 'v1.0');
  assert.deepEqual([tag, branch, repository], ['v1.0', undefined, `http://${name}/plain.git`]);
  assert.match(commit ?? '', /^[0-9a-f]{40}$/);
  const main = await fetched('plain.git', 'main');
  assert.deepEqual([main.tag, main.branch], [undefined, 'main']);
  const heads = async (ref: string) => {
    const head = await fetched('plain.git', ref);
    return [head.tag, head.branch];
  };
  assert.deepEqual(await heads('refs/tags/v1.0'), ['v1.0', undefined]);
  assert.deepEqual(await heads('refs/heads/main'), [undefined, 'main']);
  assert.deepEqual(await heads('heads/main'), [undefined, 'main']);
  assert.deepEqual(await heads('tags/v1.0'), ['v1.0', undefined]);
  assert.deepEqual(await heads(main.commit ?? ''), [undefined, undefined], 'a commit is no branch');
});
