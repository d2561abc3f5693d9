import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitFor } from '../support/wait-for.ts';
import { type BlobSeed, blobSeed, imageOf, indexType, sha256, type UniqueManifest } from './content.ts';
import { isLong } from './length.ts';
import { childrenOf, isAlive } from './processes.ts';
import { isWhole, type RegistryClient, UnexpectedStatus, type Way } from './registry-client.ts';
import { Strace } from './strace.ts';
import { Trial } from './trial.ts';

/** Where a disk can fail, and at which call it does in a short run; in a long one at the first, second, third ... until the last. */
const sites: readonly (readonly [call: string, shortHits: readonly number[]])[] = [
  ['fsync', [1, 2, 5]],
  ['fdatasync', [1, 4]],
  ['pwrite64', [1, 3, 10]],
  ['pwritev', [1, 3]],
  ['pread64', [1, 5]],
  ['openat', [1, 4]],
  ['rename', [1, 2]],
];
const mostHits = 200;

// A failed fsync is never tried again and believed; an error is never taken for "not found" (DL-05).
for (const [call, shortHits] of sites) {
  test(`F-09: EIO at the N-th ${call} breaks no promise`, async (t) => {
    // One thread for files, so that calls come in one order and strace, which counts by thread, hits each once.
    await using trial = new Trial({ env: { UV_THREADPOOL_SIZE: '1' } });
    await trial.start();
    const told = new Told();
    await told.work(trial.client);
    let fired = 0;
    const hits = isLong ? Array.from({ length: mostHits }, (_, index) => index + 1) : shortHits;
    for (const hit of hits) {
      const injected = await withFault(trial, `inject=${call}:error=EIO:when=${hit}`, () => told.work(trial.client));
      fired += injected;
      if (injected === 0 && isLong) break;
      if (!trial.server.running) await trial.start();
      await waitFor('the server takes pushes again', 60_000, async () => {
        await new Told().work(trial.client, 'strictly');
        return true;
      });
      assert.deepEqual(await told.violations(trial.client), []);
    }
    t.diagnostic(`${fired} errors`);
    assert.ok(fired > 0, `the server made no ${call}`);
    await trial.server.kill();
    await trial.start();
    assert.deepEqual(await told.violations(trial.client), []);
    await trial.verifyClean();
  });
}

// SQLite may have counted pages as moved whose sync it left to the next one, and a second sync would be believed.
for (const workers of [1, 2]) {
  test(`F-09: EIO at a sync of the database file ends the server: ${workers} at work`, async () => {
    await using trial = new Trial({ settings: { workers: String(workers) } });
    const { pid } = await trial.start();
    const pids = workers === 1 ? [pid] : childrenOf(pid);
    const options = ['-P', join(trial.dataFolder, 'berth.sqlite'), '-e', 'inject=fsync,fdatasync:error=EIO'];
    await using straces = new AsyncDisposableStack();
    for (const each of pids) straces.use(await Strace.attach(each, join(trial.folder, `strace-${each}`), options));
    const pushed: UniqueManifest[] = [];
    for (let index = 0; index < 40 && trial.server.running; index += 1) {
      const manifest = largeManifest();
      await trial.client.putManifest(repository, manifest.digest, manifest).then(
        () => pushed.push(manifest),
        () => {
          // The server ended before it could answer.
        },
      );
    }
    await waitFor('the server has ended', 60_000, () => !trial.server.running);
    await straces.disposeAsync();
    await waitFor('so have its workers', 20_000, () => !pids.some(isAlive));
    await trial.start();
    for (const { digest } of pushed)
      assert.ok(isWhole(await trial.client.manifest(repository, digest), digest), digest);
    await trial.verifyClean();
  });
}

/** A few of them fill the database's log. */
function largeManifest(): UniqueManifest {
  const annotations = { 'example.unique': randomUUID(), 'example.rest': 'x'.repeat(2_000_000) };
  const text = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [], annotations });
  return { mediaType: indexType, text, digest: sha256(text) };
}

/** Resolves to how many errors the server was given. */
async function withFault(trial: Trial, inject: string, work: () => Promise<void>): Promise<number> {
  const call = inject.slice('inject='.length).split(':')[0];
  const file = join(trial.folder, 'strace');
  await using strace = await Strace.attach(trial.server.pid, file, ['-e', `trace=${call}`, '-e', inject]);
  await work();
  await strace.detach();
  return strace.injected();
}

const repository = 'failing';
const ways: readonly Way[] = ['one request', 'post and put', 'chunks'];

/** What a client was told is stored or gone. */
class Told {
  readonly #blobs: BlobSeed[] = [];
  readonly #manifests: UniqueManifest[] = [];
  readonly #deleted: string[] = [];

  /** Pushes, pulls and deletes. Failures are what is wanted, unless `strictly`; wrong content never is. */
  async work(client: RegistryClient, how: 'strictly' | 'loosely' = 'loosely'): Promise<void> {
    const tried = async (step: () => Promise<void>): Promise<boolean> => {
      try {
        await step();
        return true;
      } catch (error) {
        if (how === 'strictly') throw error;
        // A 404 for what is there would make a client think that it is gone.
        if (error instanceof UnexpectedStatus) assert.notEqual(error.answer.status, 404, error.message);
        return false;
      }
    };
    const blobs = ways.map((_, index) => blobSeed(20_000 + index * 600_000));
    for (const [index, blob] of blobs.entries())
      if (await tried(() => client.pushBlob(repository, blob, ways[index]))) this.#blobs.push(blob);
    const manifests = [imageOf(blobs), imageOf(blobs)] as const;
    for (const manifest of manifests) {
      const isPushed = await tried(async () => {
        for (const blob of blobs)
          if (!this.#blobs.includes(blob)) await client.pushBlob(repository, blob, 'one request');
        await client.putManifest(repository, manifest.digest, manifest);
      });
      if (isPushed) this.#manifests.push(manifest);
    }
    const [removed] = manifests;
    if (this.#manifests.includes(removed)) {
      const isGone = await tried(async () => {
        await client.expect(202, 'DELETE', `/v2/${repository}/manifests/${removed.digest}`);
      });
      // Whether a delete that failed happened is not known.
      this.#manifests.splice(this.#manifests.indexOf(removed), 1);
      if (isGone) this.#deleted.push(removed.digest);
    }
    await tried(async () => assert.deepEqual(await this.violations(client, 'only wrong content'), []));
  }

  async violations(client: RegistryClient, which: 'all' | 'only wrong content' = 'all'): Promise<string[]> {
    const faults: string[] = [];
    for (const { digest } of this.#blobs.slice(-9)) {
      const answer = await client.blob(repository, digest);
      if (!isWhole(answer, digest) && (which === 'all' || answer.status < 500))
        faults.push(`blob ${digest} answers ${answer.status}`);
    }
    for (const { digest } of this.#manifests.slice(-9)) {
      const answer = await client.manifest(repository, digest);
      if (!isWhole(answer, digest) && (which === 'all' || answer.status < 500))
        faults.push(`manifest ${digest} answers ${answer.status}`);
    }
    for (const digest of this.#deleted.slice(-9)) {
      const { status } = await client.manifest(repository, digest);
      if (status === 200) faults.push(`manifest ${digest} came back`);
    }
    return faults;
  }
}
