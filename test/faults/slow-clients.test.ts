import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { asInstalled } from '../support/as-installed.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed, imageOf } from './content.ts';
import { count } from './length.ts';
import { Trial } from './trial.ts';

const crowd = 200;
const windowMs = count(6_000, 30_000);
/** The aim is 250; with builds, metrics and the rest of the program loaded it is a little more. */
const maxResidentMiB = 250;

test(`F-19: ${crowd} stalled pulls and ${crowd} uploads at 1 B/s are cut, memory stays flat, others are served`, async (t) => {
  await using trial = new Trial({ settings: { 'min-body-rate-window': `${windowMs}ms` }, env: asInstalled });
  const { pid } = await trial.start();
  const blob = blobSeed(30_000_000);
  await trial.client.pushBlob('slow', blob, 'one request');
  await trial.client.putManifest('slow', 'v1', imageOf([blob]));
  await p99OfPulls(trial);
  const usualMs = await p99OfPulls(trial);
  const idle = socketsOf(pid);

  let besideMs = 0;
  let resident = 0;
  const slow = Array.from({ length: 2 * crowd }, () => open(trial));
  try {
    // Before they ask for anything: from then on they have no more than a window or two.
    await waitFor('all slow clients are connected', 20_000, () => socketsOf(pid) >= idle + 2 * crowd);
    stallPulls(slow.slice(0, crowd), trial, `/v2/slow/blobs/${blob.digest}`);
    crawlUploads(slow.slice(crowd), trial);
    await sleep(1_500);
    besideMs = await p99OfPulls(trial);
    resident = await leastResidentMiB(pid);
    await waitFor('the slow clients are cut', 2 * windowMs + 60_000, () => socketsOf(pid) <= idle + 5);
  } finally {
    for (const socket of slow) socket.destroy();
  }
  const afterMs = await p99OfPulls(trial);
  t.diagnostic(`p99 of a pull ${usualMs} ms before, ${besideMs} ms beside them, ${afterMs} ms after`);
  t.diagnostic(`${resident} MiB resident, ${residentMiB(pid)} MiB after`);
  // Twice the usual; where that is less than what a shared machine scatters, 100 ms.
  assert.ok(besideMs <= Math.max(2 * usualMs, 2 * afterMs, 100), `${besideMs} ms instead of ${usualMs} ms`);
  assert.ok(resident <= maxResidentMiB, `${resident} MiB resident`);
  await trial.verifyClean();
});

/** They ask for a blob and never read. */
function stallPulls(sockets: readonly Socket[], trial: Trial, path: string): void {
  for (const socket of sockets) socket.pause().write(`GET ${path} ${head(trial)}\r\n`);
}

/** They begin a blob of 1 MB and send one byte a second. */
function crawlUploads(sockets: readonly Socket[], trial: Trial): void {
  for (const socket of sockets) {
    const { digest } = blobSeed(1);
    socket.write(`POST /v2/slow/blobs/uploads/?digest=${digest} ${head(trial)}Content-Length: 1000000\r\n\r\n`);
    const timer = setInterval(() => socket.write('x'), 1_000);
    socket.once('close', () => clearInterval(timer));
  }
}

function open(trial: Trial): Socket {
  // The server ends these connections: that is the point.
  return connect(trial.server.ports.http, '127.0.0.1').on('error', () => {});
}

function head(trial: Trial): string {
  const { username, password } = trial.server.admin;
  const credential = Buffer.from(`${username}:${password}`).toString('base64');
  return `HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${credential}\r\n`;
}

/** Milliseconds; the best of three tries, so that one wait for a shared disk is not taken for what the slow clients do. */
async function p99OfPulls(trial: Trial): Promise<number> {
  return Math.min(await p99OnceOfPulls(trial), await p99OnceOfPulls(trial), await p99OnceOfPulls(trial));
}

/** Of 500 pulls by four clients. */
async function p99OnceOfPulls(trial: Trial): Promise<number> {
  const times: number[] = [];
  const client = async () => {
    for (let pull = 0; pull < 125; pull += 1) {
      const startMs = performance.now();
      await trial.client.expect(200, 'GET', '/v2/slow/manifests/v1');
      times.push(performance.now() - startMs);
    }
  };
  await Promise.all([client(), client(), client(), client()]);
  return Math.round(times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0);
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

/** What it holds: of several looks within a second the least, as there is garbage that has not been collected yet in the others. */
async function leastResidentMiB(pid: number): Promise<number> {
  let least = residentMiB(pid);
  for (let look = 0; look < 10; look += 1) {
    await sleep(100);
    least = Math.min(least, residentMiB(pid));
  }
  return least;
}

function residentMiB(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kibibytes) / 1024);
}
