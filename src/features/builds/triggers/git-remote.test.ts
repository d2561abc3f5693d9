import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outbound } from '../../../platform/outbound/outbound.ts';
import { readHeads } from './git-remote.ts';

const commit = 'a'.repeat(40);
const line = (text: string) => `${(text.length + 4).toString(16).padStart(4, '0')}${text}`;

/** What a look at the repository sends with it, and where. */
async function lookedAt(address: string, token: string | undefined) {
  let sent: Parameters<Outbound['call']>[0] | undefined;
  const call: Outbound['call'] = async (request) => {
    sent = request;
    return {
      ...{ status: 200, url: request.url, headers: new Map(), discard: async () => {} },
      body: (async function* () {
        yield Buffer.from(`${line(`${commit} refs/heads/main\n`)}0000`);
      })(),
    };
  };
  const { branches } = await readHeads({ call }, address, token);
  assert.deepEqual(branches, { main: commit });
  const [, basic] = /^Basic (.+)$/.exec(sent?.credentials?.authorization ?? '') ?? [];
  return { url: sent?.url, credentials: basic && Buffer.from(basic, 'base64').toString() };
}

for (const [what, address, token, credentials] of [
  ['nothing', 'https://git.example/app.git', undefined, undefined],
  ['the token of the trigger', 'https://git.example/app.git', 'secret', 'git:secret'],
  ['a token in the address', 'https://s3cret%21@git.example/app.git', undefined, 'git:s3cret!'],
  ['a user and a password in the address', 'https://bob:pass%zz@git.example/app.git#main', undefined, 'bob:pass%zz'],
  ['the token of the trigger, not a name in the address', 'https://org@git.example/app.git', 'secret', 'git:secret'],
] as const)
  test(`a repository is looked at with ${what}`, async () => {
    const url = 'https://git.example/app.git/info/refs?service=git-upload-pack';
    assert.deepEqual(await lookedAt(address, token), { url, credentials });
  });
