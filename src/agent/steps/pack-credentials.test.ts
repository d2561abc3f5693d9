import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loginsFor } from './pack-credentials.ts';

const own = ['own.example:5443', 'sister.example:5443'];
const servers = [...own, 'other.example', 'https://index.docker.io/v1/'];
const credentials = servers.map((server) => ({ server, username: 'name', password: 'word' }));
const app = 'own.example:5443/team/app';
const pushesApp = 'repository:team/app:pull,push';

for (const [label, read, pushed, lent] of [
  ['the image alone', [], [`${app}:v1`, `${app}:v2`], { 'own.example:5443': [pushesApp] }],
  [
    'a run image beside it',
    ['own.example:5443/run:v1'],
    [app],
    { 'own.example:5443': ['repository:run:pull', pushesApp] },
  ],
  ['an image that stands on itself', [app], [app], { 'own.example:5443': [pushesApp] }],
  [
    'a run image of another registry of the installation',
    ['sister.example:5443/run'],
    [app],
    { 'own.example:5443': [pushesApp], 'sister.example:5443': ['repository:run:pull'] },
  ],
  [
    'a run image elsewhere',
    ['Other.example/run:v1'],
    [app],
    { 'own.example:5443': [pushesApp], 'other.example': undefined },
  ],
  [
    'a run image of Docker Hub',
    ['team/run'],
    [app],
    { 'own.example:5443': [pushesApp], 'https://index.docker.io/v1/': undefined },
  ],
  ['another port', [], ['own.example/app'], {}],
] as const)
  test(`a builder may do what it needs to: ${label}`, () => {
    const logins = loginsFor({ read, pushed }, credentials, own);
    assert.deepEqual(Object.fromEntries(logins.map(({ credential, scopes }) => [credential.server, scopes])), lent);
  });
