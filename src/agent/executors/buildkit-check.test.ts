import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { checkBuildKit } from './buildkit-check.ts';

// Programs that answer as buildctl of some release does, beside a socket that takes connections.

const folder = temporaryFolder('buildkit-check');
const path = join(folder.path, 'socket');
const server = createServer((socket) => socket.on('error', () => socket.destroy()));
before(async () => {
  server.listen(path);
  await once(server, 'listening');
});
after(() => {
  server.close();
  folder.remove();
});

function buildctl(name: string, answers: { client: string; daemon: string; workers?: string }): string {
  const program = join(folder.path, name);
  const { client, daemon, workers = '[{"platforms":[{"os":"linux","architecture":"amd64"}]}]' } = answers;
  const lines = [
    '#!/bin/sh',
    `case "$*" in`,
    `--version) echo 'buildctl github.com/moby/buildkit ${client} 0123456' ;;`,
    `*info) echo 'BuildKit: github.com/moby/buildkit ${daemon} 0123456' ;;`,
    `*) echo '${workers}' ;;`,
    'esac',
  ];
  writeFileSync(program, `${lines.join('\n')}\n`);
  chmodSync(program, 0o755);
  return program;
}
const check = (program: string) => checkBuildKit({ address: { kind: 'unix', path }, program });

test('a release that is new enough, or says nothing of itself, builds', async () => {
  assert.deepEqual(await check(buildctl('new', { client: 'v0.13.0', daemon: 'v0.33.1-rc2' })), {
    version: '0.33.1-rc2',
    platforms: ['linux/amd64'],
    missedFixes: [],
  });
  const own = await check(buildctl('own', { client: 'v1.0.0', daemon: 'v0.0.0+unknown' }));
  assert.deepEqual([own.version, own.missedFixes], ['0.0.0+unknown', []]);
});

test('one that lacks fixes of known escapes builds, and they are named', async () => {
  const { missedFixes } = await check(buildctl('unpatched', { client: 'v0.33.1', daemon: 'v0.31.0' }));
  assert.deepEqual(missedFixes, ['GHSA-7236-3392-c5c6', 'GHSA-hw3h-2gp9-cxpv']);
});

test('an old one is named, with what is needed', async () => {
  const client = check(buildctl('old', { client: 'v0.12.5', daemon: 'v0.33.1' }));
  await assert.rejects(client, /buildctl is 0\.12\.5, and 0\.13\.0 is needed: install a newer buildctl at \S+old/);
  const daemon = check(buildctl('other', { client: 'v0.33.1', daemon: 'v0.9.3' }));
  await assert.rejects(
    daemon,
    /BuildKit at unix:\S+ is 0\.9\.3, and 0\.13\.0 is needed: start a newer buildkitd there/,
  );
});

test('one without workers cannot build', async () => {
  const none = check(buildctl('none', { client: 'v0.33.1', daemon: 'v0.33.1', workers: '[]' }));
  await assert.rejects(none, /has no worker: enable one/);
});
