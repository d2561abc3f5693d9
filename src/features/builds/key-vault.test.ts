import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { createOutbound, type Outbound } from '../../platform/outbound/outbound.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { audienceOf, readVaultSecret, VaultRefusal } from './key-vault.ts';

const named = (resource: string) => `Bearer authorization="https://login.example/t", resource="${resource}"`;
const azure = 'https://team.vault.azure.net/secrets/npm';
const own = 'https://vault.corp.example:8443/secrets/npm';

for (const [what, keyvault, challenge, audience] of [
  ['the domain that it is in', azure, named('https://vault.azure.net'), 'https://vault.azure.net'],
  ['a name as it is written', azure, named('https://vault.azure.net/'), 'https://vault.azure.net/'],
  ['another cloud', 'https://team.vault.azure.cn/secrets/x', named('https://vault.azure.cn'), 'https://vault.azure.cn'],
  ['a scope', azure, 'Bearer scope="https://vault.azure.net/.default"', 'https://vault.azure.net'],
  ['its own name', own, named('https://vault.corp.example:8443'), 'https://vault.corp.example:8443'],
  ['its own name without the port', own, named('https://vault.corp.example'), 'https://vault.corp.example'],
  ['a domain of its owner', own, named('https://corp.example'), 'https://corp.example'],
  ['nothing, in Azure', azure, 'Bearer', 'https://vault.azure.net'],
  ['nothing, elsewhere', own, '', 'https://vault.corp.example:8443'],
] as const)
  test(`a token is for what the vault asks for: ${what}`, () =>
    assert.equal(audienceOf(keyvault, challenge), audience));

for (const [what, keyvault, resource] of [
  ['of another vault', own, 'https://vault.azure.net'],
  ['whose name ends alike', 'https://evilvault.azure.net/secrets/x', 'https://vault.azure.net'],
  ['of another port', own, 'https://vault.corp.example:9443'],
  ['of a domain without a dot', own, 'https://example'],
  ['of another scheme', own, 'api://vault.corp.example:8443'],
  ['of plain HTTP', own, 'http://vault.corp.example:8443'],
  ['that is no address', own, 'vault'],
  ['of this installation', 'https://x.management.core.windows.net/secrets/x', 'https://management.core.windows.net/'],
] as const)
  test(`no token is made for a name ${what}`, () =>
    assert.throws(() => audienceOf(keyvault, named(resource)), VaultRefusal));

test('no token is made for a vault that has the name of this installation and says nothing', () =>
  assert.throws(() => audienceOf('https://graph.microsoft.com/secrets/npm', ''), VaultRefusal));

let origin: string;
let outbound: Outbound;
let stop: () => Promise<void>;
const waits: number[] = [];
const authorizations: (string | undefined)[] = [];
const challenge = (response: ServerResponse) =>
  response.writeHead(401, { 'www-authenticate': named(origin.replace('http:', 'https:')) }).end('{}');
const pages: Readonly<Record<string, (response: ServerResponse) => unknown>> = {
  value: (response) => response.end('{"value":"hunter2","id":"x"}'),
  forbidden: (response) => response.writeHead(403).end('{"error":{"code":"Forbidden","message":"hunter2"}}'),
  gone: (response) => response.writeHead(404).end('{"error":{"code":"SecretNotFound\\r\\nhunter2"}}'),
  distrusts: challenge,
  redirects: (response) => response.writeHead(302, { location: `${origin}/secrets/value` }).end(),
  large: (response) => response.end(JSON.stringify({ value: 'hunter2'.repeat(10_000) })),
  text: (response) => response.end('hunter2'),
  number: (response) => response.end('{"value":2}'),
  broken: (response) => response.destroy(),
  throttled: (response) => response.writeHead(429, { 'retry-after': '3' }).end(),
  busy: (response) => response.writeHead(503).end(),
  closed: (response) => response.writeHead(503, { 'retry-after': '60' }).end(),
  later: (response) => response.writeHead(429, { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' }).end(),
  recovers: (response) => {
    const isFirst = authorizations.filter((each) => each !== undefined).length === 1;
    if (isFirst) response.writeHead(429, { 'retry-after': '5' }).end();
    else response.end('{"value":"hunter2"}');
  },
};

before(async () => {
  outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    const url = new URL(request.url ?? '/', origin);
    authorizations.push(authorization);
    const page = url.searchParams.get('api-version') === '7.4' ? pages[url.pathname.split('/')[2] ?? ''] : undefined;
    if (authorization === undefined || page === undefined) challenge(response);
    else page(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  origin = `http://127.0.0.1:${address.port}`;
  stop = async () => {
    await outbound.close();
    server.closeAllConnections();
    server.close();
  };
});
after(() => stop());

const read = async (path: string, more: { readonly allow?: readonly string[] } = {}) => {
  const other = createOutbound({ allow: more.allow ?? ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
  waits.length = 0;
  const clock = { ...systemClock, sleep: async (ms: number) => void waits.push(ms) };
  const asking = {
    outbound: other,
    clock,
    tokenFor: async (audience: string) => `token-for-${audience}`,
    issuer: 'https://sts.example/t/',
    signal: new AbortController().signal,
  };
  try {
    return await readVaultSecret({ id: 'npm', keyvault: `${origin}/secrets/${path}` }, asking);
  } finally {
    await other.close();
  }
};

test('a vault is asked for a value with the token that it wants, and never before it says for whom', async () => {
  authorizations.length = 0;
  assert.equal(await read('value'), 'hunter2');
  assert.equal(await read('value/0af/'), 'hunter2');
  const token = `Bearer token-for-${origin.replace('http:', 'https:')}`;
  assert.deepEqual(authorizations, [undefined, token, undefined, token]);
});

for (const [path, reason] of [
  ['forbidden', /^the secret 'npm' cannot be read: the key vault 127\.0\.0\.1:\d+ answered 403 \(Forbidden\)$/],
  ['gone', /answered 404$/],
  [
    'distrusts',
    /refuses the token of the identity: it has to trust the issuer https:\/\/sts\.example\/t\/ for the audience https:\/\/127/,
  ],
  ['throttled', /answered 429$/],
  ['busy', /answered 503$/],
  ['closed', /answered 503$/],
  ['redirects', /answered 302$/],
  ['large', /cannot be asked: the answer is larger than its limit$/],
  ['text', /answered without a value$/],
  ['number', /answered without a value$/],
  ['broken', /cannot be asked: /],
] as const)
  test(`what a vault says otherwise is a refusal that names it, and nothing that it said: ${path}`, async () =>
    await assert.rejects(read(path), (error) => {
      assert(error instanceof VaultRefusal);
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /hunter2|token-for/);
      return true;
    }));

test('a vault that is busy for a moment is asked once more, when it says so', async () => {
  authorizations.length = 0;
  assert.equal(await read('recovers'), 'hunter2');
  assert.deepEqual([authorizations.length, waits], [3, [5_000]]);
  for (const [path, wanted] of [
    ['throttled', [3_000]],
    ['busy', [1_000]],
    ['later', [1_000]],
    ['closed', []],
    ['forbidden', []],
  ] as const) {
    await assert.rejects(read(path), VaultRefusal);
    assert.deepEqual(waits, wanted, path);
  }
});

test('a vault in a private network is asked where the installation says so', async () =>
  await assert.rejects(read('value', { allow: [] }), /cannot be asked: the address is not allowed/));
