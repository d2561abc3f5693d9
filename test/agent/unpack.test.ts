import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { unpack } from '../../src/agent/context/unpack.ts';
import type { Cell } from '../../src/agent/executors/cell.ts';
import { openUserCell } from '../../src/agent/executors/user-cell.ts';
import { RunFailure } from '../../src/agent/run-failure.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// Contexts are unpacked in the room of their run, read by a program that counts within its limits. As root.

const folder = temporaryFolder('unpack');
const limits = { cpus: 1, memoryMiB: 512, diskMiB: 64, processes: 64 };
let cell: Cell;
before(async () => {
  const name = `unpack-${process.pid}`;
  cell = await openUserCell({ name, root: join(folder.path, 'runs'), limits, firstUserId: 1_900_000_000, hosts: [] });
});
after(async () => {
  await cell.close();
  folder.remove();
});

async function* list(...archives: readonly AsyncIterable<Uint8Array>[]): AsyncGenerator<AsyncIterable<Uint8Array>> {
  yield* archives;
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

async function archiveOf(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files)) archive.entry({ name }, text);
  archive.finalize();
  return await bytesOf(archive);
}

async function bytesOf(source: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function unpacked(
  archives: AsyncIterable<AsyncIterable<Uint8Array>>,
  { maxEntries = 500_000, maxBytes = 1e9, memoryMiB = 256, signal = AbortSignal.timeout(120_000) } = {},
): Promise<void> {
  const target = `${cell.folder}/workspace`;
  await cell.read(['sh', '-c', 'rm -rf workspace; mkdir workspace']);
  await unpack(archives, { cell, target, limits: { maxEntries, maxBytes }, signal, memoryMiB });
}

const isFailure = (reason: RegExp) => (error: Error) => {
  assert.ok(error instanceof RunFailure, String(error.stack));
  assert.match(error.message, reason);
  return true;
};

describe('a context', () => {
  test('is unpacked from every form, one archive over the other', async () => {
    const plain = await archiveOf({ a: 'first', b: 'b' });
    const with_ = (program: string) => spawnSync(program, ['--stdout'], { input: plain }).stdout;
    for (const bytes of [plain, gzipSync(plain), zstdCompressSync(plain), with_('bzip2'), with_('xz')]) {
      await unpacked(list(inPieces(bytes), inPieces(gzipSync(await archiveOf({ a: 'second' })))));
      assert.equal(await cell.read(['sh', '-c', 'cat workspace/*']), 'secondb');
    }
  });
  test('is refused in words: what is hostile, cut off, or too much', async () => {
    const hostile = await archiveOf({ '../x': 'x' });
    const refused = async (bytes: Uint8Array, reason: RegExp, maxEntries = 100) =>
      assert.rejects(unpacked(list(inPieces(bytes)), { maxEntries }), isFailure(reason));
    await refused(hostile, /a file whose name leaves it/);
    await refused(Buffer.from('BZh91AY'), /bzip2 ended with/);
    await refused(gzipSync(Buffer.alloc(100_000, 'x')).subarray(0, 60), /not an archive that can be read/);
    await refused(await archiveOf({ a: '', b: '' }), /more than 1 files/, 1);
  });
  test('that does not come is told as what kept it', async () => {
    const broken = async function* () {
      yield (await archiveOf({ a: 'x'.repeat(100_000) })).subarray(0, 50_000);
      throw new RunFailure('the registry is gone');
    };
    await assert.rejects(unpacked(list(broken())), /^RunFailure: the registry is gone/);
  });
  test('that is larger than the disk ends its run, and waits for nothing', async () => {
    const large = async function* () {
      const archive = pack();
      const entry = archive.entry({ name: 'large', size: 200_000_000 });
      entry.end(Buffer.alloc(200_000_000));
      archive.finalize();
      for await (const chunk of archive) if (chunk instanceof Uint8Array) yield chunk;
    };
    await assert.rejects(unpacked(list(large())), /cannot be unpacked: tar: exit status 2: tar: large: /);
  });
  test('whose names take gibibytes ends its run alone', async () => {
    const folders = `${'n'.repeat(250)}/`.repeat(15);
    const layers = async function* () {
      for (let layer = 0; layer < 5_000; layer += 1) {
        const archive = pack();
        for (let at = 0; at < 100; at += 1) {
          archive.entry({ name: `${folders}${layer}-${at}`, type: 'symlink', linkname: 'x' });
        }
        archive.finalize();
        yield inPieces(await bytesOf(archive));
      }
    };
    await assert.rejects(unpacked(layers(), { memoryMiB: 48 }), isFailure(/take too much memory/));
  });
  test('is given up when its run is canceled', async () => {
    const stopper = new AbortController();
    const endless = async function* () {
      for (;;) {
        yield await archiveOf({ a: 'x'.repeat(1_000) });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    setTimeout(() => stopper.abort(new Error('canceled')), 1_000);
    await assert.rejects(unpacked(list(endless()), { signal: stopper.signal }), /canceled/);
  });
});
