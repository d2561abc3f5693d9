import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { SignJWT } from 'jose';
import { type AzureServer, startAzureServer } from '../../../../test/support/azure-server.ts';
import { HeldClock } from '../../held-clock.ts';
import { createOutbound } from '../../outbound/outbound.ts';
import { systemClock } from '../../system-clock.ts';
import { systemIds } from '../../system-ids.ts';
import { blobStoreSuite } from '../blob-store-suite.ts';
import { parseStoreAddress } from '../store-address.ts';
import { identityHost, managedIdentity } from './managed-identity.ts';
import { openAzureStore } from './open-azure-store.ts';

/** The identity service of a machine; `answers` are given first. */
async function identityService(answers: { status: number; body?: string }[] = []) {
  const asked: { readonly url: URL; readonly metadata: string | undefined }[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const { metadata } = incoming.headers;
    asked.push({ url: new URL(incoming.url ?? '', 'http://x'), metadata: metadata?.toString() });
    const { status, body } = answers.shift() ?? { status: 200, body: await tokenAnswer() };
    outgoing.writeHead(status, { 'content-type': 'application/json' }).end(body ?? '{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { asked, host: { host: '127.0.0.1', port: portOf(server.address()) }, close, [Symbol.asyncDispose]: close };
}

async function tokenAnswer(lifeSeconds = 3_600): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const token = await new SignJWT({ ver: '1.0' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('https://sts.windows.net/5a2f2c3e-0000-4000-8000-1d2f3a4b5c6d/')
    .setAudience('https://storage.azure.com')
    .setNotBefore(now - 60)
    .setExpirationTime(now + lifeSeconds)
    .setIssuedAt(now - 60)
    .sign(Buffer.alloc(32, 1));
  return JSON.stringify({ access_token: token, expires_on: String(now + lifeSeconds), token_type: 'Bearer' });
}

blobStoreSuite('Azure with the identity of the machine', async () => {
  const server = await startAzureServer({ isHttps: true });
  const service = await identityService();
  const outbound = createOutbound({
    allow: ['127.0.0.0/8'],
    hosts: new Map([[identityHost.host, service.host]]),
    clock: systemClock,
    ca: [readFileSync(server.caPath ?? '', 'utf8')],
  });
  return {
    open: async () => openAt(server, outbound),
    close: async () => {
      await outbound.close();
      await service.close();
      await server[Symbol.asyncDispose]();
    },
  };
});

function openAt(server: AzureServer, outbound: ReturnType<typeof createOutbound>) {
  const address = parseStoreAddress(`azure://${server.account}/${server.container}/a?endpoint=${server.endpoint}`);
  assert.ok(address.kind === 'azure');
  return openAzureStore({ address, accountKey: undefined, outbound, ids: systemIds, clock: systemClock });
}

test('a token is asked for once by all who wait, kept until shortly before its end, and then replaced', async () => {
  await using service = await identityService();
  const clock = new HeldClock(Date.now() * 1_000);
  const credential = managedIdentity(outboundTo(service.host), clock, 'f0000000-0000-4000-8000-00000000000f');
  const [first, second] = await Promise.all([credential.getToken(), credential.getToken()]);
  assert.equal(first, second);
  clock.advance(3_200_000);
  assert.equal(await credential.getToken(), first);
  clock.advance(200_000);
  assert.notEqual(await credential.getToken(), first);
  assert.equal(service.asked.length, 2);
  const [{ url, metadata } = { url: new URL('http://x'), metadata: '' }] = service.asked;
  assert.equal(metadata, 'true');
  assert.equal(url.searchParams.get('resource'), 'https://storage.azure.com/');
  assert.equal(url.searchParams.get('client_id'), 'f0000000-0000-4000-8000-00000000000f');
});

test('a service that asks to come again is asked again; a refusal is told with what would help', async () => {
  await using service = await identityService([{ status: 429 }, { status: 500 }]);
  const credential = managedIdentity(outboundTo(service.host), systemClock, undefined);
  assert.ok((await credential.getToken()).token.length > 0);
  assert.equal(service.asked.length, 3);
  await using closed = await identityService([{ status: 400, body: '{"error":"invalid_request"}' }]);
  await assert.rejects(
    managedIdentity(outboundTo(closed.host), systemClock, undefined).getToken(),
    /\(400\): give the machine a managed identity/,
  );
});

test('while the service is busy, the token that is held is good until its end', async () => {
  const busy = Array.from({ length: 4 }, () => ({ status: 503 }));
  await using service = await identityService([{ status: 200, body: await tokenAnswer() }, ...busy, ...busy]);
  const held = new HeldClock(Date.now() * 1_000);
  const clock = { ...systemClock, nowMicros: held.nowMicros, sleep: async () => {} };
  const credential = managedIdentity(outboundTo(service.host), clock, undefined);
  const first = await credential.getToken();
  held.advance(3_400_000);
  for (let count = 0; count < 5; count += 1) assert.equal(await credential.getToken(), first);
  assert.equal(service.asked.length, 5);
  held.advance(300_000);
  await assert.rejects(credential.getToken(), /is busy/);
  assert.notEqual(await credential.getToken(), first);
});

function outboundTo(host: { readonly host: string; readonly port: number }) {
  return createOutbound({ allow: [], hosts: new Map([[identityHost.host, host]]), clock: systemClock });
}

function portOf(address: AddressInfo | string | null): number {
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}
