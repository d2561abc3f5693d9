import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credentialsFor } from './pack-credentials.ts';

const servers = ['own.example:5443', 'other.example', 'https://index.docker.io/v1/'];
const credentials = servers.map((server) => ({ server, username: 'name', password: 'word' }));

for (const [label, images, lent] of [
  ['the image alone', ['own.example:5443/app:v1'], ['own.example:5443']],
  ['a builder elsewhere', ['own.example:5443/app', 'Other.example/builder:v1'], ['own.example:5443', 'other.example']],
  ['a builder of Docker Hub', ['own.example:5443/app', 'team/builder'], ['own.example:5443', servers[2]]],
  ['another port', ['own.example/app'], []],
] as const)
  test(`a builder is lent the passwords of registries that it needs: ${label}`, () => {
    assert.deepEqual(
      credentialsFor(images, credentials).map(({ server }) => server),
      lent,
    );
  });
