import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { asInstalled } from '../support/as-installed.ts';
import { startBerth } from '../support/berth-server.ts';
import { memoryCgroup } from '../support/memory-cgroup.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobSeed, sha256 } from './content.ts';
import { type Answer, isWhole, RegistryClient } from './registry-client.ts';

const mebibyte = 1024 * 1024;
const layerBytes = 20 * mebibyte;
const berth = join(import.meta.dirname, '../../bin/berth');

/** What 512 MiB hold, and what they do not: then requests are refused, and none is broken. */
const trials = [
  { limitMiB: 512, pushes: 50, pulls: 200 },
  { limitMiB: 200, pushes: 50, pulls: 100 },
];

for (const { limitMiB, pushes, pulls } of trials) {
  test(`F-29: with ${limitMiB} MiB, ${pushes} pushes at once and ${pulls} pulls of 20 MB end well or get 503, and the server lives`, async (t) => {
    await using group = memoryCgroup(limitMiB * mebibyte);
    if (group === undefined) return t.skip('this machine lets no group of processes with a memory limit be made');
    using folder = temporaryFolder('memory');
    const program = join(folder.path, 'berth');
    writeFileSync(program, `#!/bin/sh\n${group.enter}\nexec ${berth} "$@"\n`);
    chmodSync(program, 0o755);
    process.env.BERTH_TEST_PROGRAM = program;
    await using server = await startBerth({ database: 'sqlite', env: asInstalled });
    delete process.env.BERTH_TEST_PROGRAM;
    const client = new RegistryClient(server.http, server.admin);
    const shared = blobSeed(layerBytes);
    await client.pushBlob('memory', shared, 'one request');

    let refused = 0;
    let peakMiB = 0;
    const watching = new AbortController();
    const watch = (async () => {
      while (!watching.signal.aborted) {
        peakMiB = Math.max(peakMiB, residentMiB(server.pid));
        await sleep(50);
      }
    })();
    const untilTaken = async (ask: () => Promise<Answer>, status: number): Promise<Answer> => {
      for (let tries = 0; ; tries += 1) {
        const answer = await ask();
        if (answer.status === status) return answer;
        assert.equal(answer.status, 503, answer.body.toString('utf8', 0, 300));
        assert.equal(answer.headers['retry-after'], '5');
        refused += 1;
        assert.ok(tries < 200, 'a refused request is taken in the end');
        await sleep(200 + (tries % 10) * 50);
      }
    };
    const bytes = Buffer.alloc(layerBytes, 7);
    const push = async (number: number) => {
      const own = Buffer.from(bytes);
      own.writeUInt32BE(number);
      const digest = sha256(own);
      const path = `/v2/memory/blobs/uploads/?digest=${digest}`;
      await untilTaken(() => client.call('POST', path, { body: own, timeoutMs: 120_000 }), 201);
      return digest;
    };
    const pull = async () => {
      const path = `/v2/memory/blobs/${shared.digest}`;
      const answer = await untilTaken(() => client.call('GET', path, { timeoutMs: 120_000 }), 200);
      assert.ok(isWhole(answer, shared.digest));
    };
    const digests = await Promise.all(Array.from({ length: pushes }, (_, number) => push(number)));
    for (let done = 0; done < pulls; done += 50) await Promise.all(Array.from({ length: 50 }, pull));
    watching.abort();
    await watch;

    t.diagnostic(`${peakMiB} MiB resident at most, ${refused} requests refused`);
    assert.equal(group.kills(), 0);
    assert.ok(server.running);
    for (const digest of digests.slice(0, 5)) assert.ok(isWhole(await client.blob('memory', digest), digest));
    client.close();
    assert.equal(await server.stop(), 0);
  });
}

function residentMiB(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kibibytes) / 1024);
}
