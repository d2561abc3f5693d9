import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NewRun } from '../run.ts';
import { ofStranger } from './fork-run.ts';

const run: NewRun = {
  registryUid: 'r',
  runType: 'AutoBuild',
  work: {
    ...{ kind: 'dockerBuild', dockerFile: 'Dockerfile', imageNames: ['app:v1'], isPushEnabled: true, noCache: false },
    arguments: [
      { name: 'KEY', value: 'hunter2', isSecret: true },
      { name: 'COLOR', value: 'red', isSecret: false },
    ],
  },
  source: {
    kind: 'remote',
    location: 'https://bob:s3cret@git.example/team/app.git#main:web',
    commit: '0a'.repeat(20),
    accessToken: 's3cret',
  },
  platforms: [{ os: 'linux', architecture: 'amd64' }],
  timeoutSeconds: 600,
  cpus: 2,
  authority: { kind: 'principal', principalId: 'owner', principalType: 'User' },
  customRegistries: [{ server: 'other.example', username: 'bob', password: 's3cret' }],
  vaultAccess: { kind: 'identities', identities: [{ principalUid: 'owner' }] },
  isArchiveEnabled: false,
  trigger: { kind: 'manual' },
};

test('a stranger is lent nothing, not even what stands in the address of the repository', () => {
  const lent = ofStranger(run);
  assert.doesNotMatch(JSON.stringify(lent), /s3cret|hunter2|owner/);
  assert.deepEqual(lent.source, {
    kind: 'remote',
    location: 'https://git.example/team/app.git#main:web',
    commit: '0a'.repeat(20),
  });
  assert(lent.work.kind === 'dockerBuild');
  assert.deepEqual([lent.work.isPushEnabled, lent.work.arguments.map(({ name }) => name)], [false, ['COLOR']]);
  assert.deepEqual([lent.authority, lent.customRegistries], [{ kind: 'none' }, []]);
  assert.deepEqual(lent.vaultAccess, { kind: 'none', reason: 'stranger' });
});
