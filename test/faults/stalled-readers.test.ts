import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { asInstalled } from '../support/as-installed.ts';
import { startAzureServer } from '../support/azure-server.ts';
import { startBerth } from '../support/berth-server.ts';
import { startS3Server } from '../support/s3-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed } from './content.ts';
import { isWhole, RegistryClient } from './registry-client.ts';

const crowd = 200;
const windowMs = 6_000;
/** More than with blobs in a folder: each stalled pull has a connection to the store, and one read of it. */
const maxResidentMiB = 280;

for (const kind of ['S3', 'Azure'] as const) {
  test(`F-19: ${crowd} stalled pulls of blobs in ${kind} hold little memory, are cut, and others are served`, async (t) => {
    await using store = kind === 'S3' ? await s3Place() : await azurePlace();
    const settings = { blobs: store.blobs, 'min-body-rate-window': `${windowMs}ms` };
    using folder = temporaryFolder('stalled');
    await using server = await startedBefore(join(folder.path, 'data'), settings, store.env);
    const client = new RegistryClient(server.http, server.admin);
    const [large, small] = [blobSeed(30_000_000), blobSeed(100_000)];
    for (const blob of [large, small]) await client.pushBlob('slow', blob, 'one request');
    const idle = socketsOf(server.pid);
    // The server ends these connections: that is the point.
    const sockets = Array.from({ length: crowd }, () => connect(server.ports.http, '127.0.0.1').on('error', () => {}));
    const request = `GET /v2/slow/blobs/${large.digest} HTTP/1.1\r\nHost: localhost\r\n${authorization(server.admin)}\r\n\r\n`;
    // Before they ask for anything: from then on they have no more than a window or two.
    await waitFor('all are connected', 20_000, () => socketsOf(server.pid) >= idle + crowd);
    for (const socket of sockets) socket.pause().write(request);
    let resident = 0;
    for (let look = 0; look < 10; look += 1) {
      await sleep(windowMs / 20);
      resident = Math.max(resident, residentMiB(server.pid));
    }
    assert.ok(isWhole(await client.blob('slow', small.digest), small.digest));
    // Beside them there are connections to the store that wait to be used again.
    await waitFor('the stalled pulls are cut', 90_000, () => socketsOf(server.pid) < idle + crowd / 4);
    for (const socket of sockets) socket.destroy();
    assert.ok(isWhole(await client.blob('slow', large.digest), large.digest));
    client.close();
    t.diagnostic(`${resident} MiB resident beside ${crowd} stalled pulls`);
    assert.ok(resident <= maxResidentMiB, `${resident} MiB resident`);
  });
}

/** A server at its second start, as nearly all of them are: the first has compiled what it runs. */
async function startedBefore(dataFolder: string, settings: Record<string, string>, env: Record<string, string>) {
  mkdirSync(dataFolder, { mode: 0o700 });
  const first = await startBerth({ database: 'sqlite', dataFolder, settings, env: { ...env, ...asInstalled } });
  await first.stop();
  return await startBerth(first.again);
}

function authorization({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Authorization: Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function socketsOf(pid: number): number {
  const isSocket = (fd: string) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      // Closed meanwhile.
      return false;
    }
  };
  return readdirSync(`/proc/${pid}/fd`).filter(isSocket).length;
}

function residentMiB(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kibibytes) / 1024);
}

async function s3Place() {
  const server = await startS3Server();
  const { accessKeyId, secretAccessKey } = server.credentials;
  return {
    blobs: server.blobs,
    env: { BERTH_BLOBS_KEY_ID: accessKeyId, BERTH_BLOBS_KEY: secretAccessKey },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function azurePlace() {
  const server = await startAzureServer();
  return {
    blobs: server.blobs,
    env: { BERTH_BLOBS_KEY: server.accountKey },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
