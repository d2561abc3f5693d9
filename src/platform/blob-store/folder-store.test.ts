import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { BerthError } from '../../core/errors.ts';
import { createFailpoints } from '../failpoints.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import { blobStoreSuite, chunked, collect, entries, put, sample } from './blob-store-suite.ts';
import { createFolderStore } from './folder-store.ts';

const mebibyte = 1024 * 1024;

function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'berth-blobs-'));
}

function openStore(folder: string, failpoints?: string) {
  return createFolderStore({ folder, ids: systemIds, failpoint: createFailpoints(failpoints, systemClock) });
}

blobStoreSuite('folder', async () => {
  const folder = temporaryFolder();
  return {
    open: async () => openStore(join(folder, 'made', 'by', 'the-store')),
    close: async () => rmSync(folder, { recursive: true }),
  };
});

describe('folder store', () => {
  const folder = temporaryFolder();
  const store = openStore(folder);
  after(() => rmSync(folder, { recursive: true }));

  test('files and folders are closed to other users, and foreign files are not listed', async () => {
    const key = await put(store, sample(10));
    assert.equal(statSync(join(folder, 'blobs', key.slice(0, 2), key)).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, 'blobs')).mode & 0o777, 0o700);
    writeFileSync(join(folder, 'blobs', '00', 'README'), 'not a blob');
    assert.ok((await entries(store, '')).every((entry) => entry.key !== 'README'));
  });

  for (const key of [
    '',
    '..',
    '../../etc/passwd',
    'a'.repeat(31),
    `${'a'.repeat(31)}/`,
    `${'a'.repeat(32)}\n`,
    'A'.repeat(32),
  ]) {
    test(`no path is built from the key ${JSON.stringify(key)}`, async () => {
      await assert.rejects(async () => collect(store.read(key)), /malformed storage key/);
      await assert.rejects(store.removeMany([key]), /malformed storage key/);
      await assert.rejects(store.abort(key), /malformed storage key/);
    });
  }

  test('what a kill leaves of a check is listed, as unfinished bytes are', async () => {
    const watcher = watch(join(folder, 'incoming'));
    const changed = once(watcher, 'change');
    await store.check();
    const [, name] = await changed;
    watcher.close();
    const left = join(folder, 'incoming', String(name));
    writeFileSync(left, 'berth');
    assert.ok((await entries(store, '')).some(({ key }) => key === name));
    rmSync(left);
  });

  test('a blob that was cut short on disk reads short, not padded', async () => {
    const key = await put(store, sample(2 * mebibyte));
    truncateSync(join(folder, 'blobs', key.slice(0, 2), key), mebibyte + 9);
    assert.deepEqual(
      await collect(store.read(key, { start: 0, end: 2 * mebibyte })),
      sample(2 * mebibyte).subarray(0, mebibyte + 9),
    );
  });

  test('readers that stop early leave no file open', async () => {
    const key = await put(store, sample(4 * mebibyte));
    const openBefore = readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 50; round += 1) {
      for await (const _ of store.read(key)) break;
      store.read(key);
    }
    assert.ok(readdirSync('/proc/self/fd').length <= openBefore + 1);
  });

  test('10,000 blobs are listed and removed', async () => {
    const own = join(folder, 'many');
    const many = openStore(own);
    const keys: string[] = [];
    for (let index = 0; index < 10_000; index += 1) {
      const key = many.keyOf(await many.begin());
      writeFileSync(join(own, 'blobs', key.slice(0, 2), key), 'x');
      keys.push(key);
    }
    const listed = (await entries(many, '')).map((entry) => entry.key);
    assert.deepEqual(listed.sort(), keys.sort());
    await many.removeMany(keys);
    assert.deepEqual(await entries(many, ''), []);
  });

  for (const point of [
    'blob.create.after',
    'blob.write.middle',
    'blob.fsync.before',
    'blob.fsync.after',
    'blob.rename.after',
    'blob.directory-fsync.after',
  ]) {
    test(`a fault at ${point} fails the blob and leaves nothing that counts as finished`, async () => {
      const own = join(folder, point);
      const faulty = openStore(own, `${point}:error@1`);
      await assert.rejects(put(faulty, sample(1000)), /failpoint/);
      assert.deepEqual(
        (await entries(faulty, '')).filter((entry) => entry.handle === undefined),
        [],
      );
      assert.deepEqual(await collect(faulty.read(await put(faulty, sample(1000)))), sample(1000));
    });
  }

  test('after a failed fsync the blob is not tried again', async () => {
    const faulty = openStore(join(folder, 'fsync'), 'blob.fsync.before:error@1');
    const handle = await faulty.begin();
    const part = await faulty.part(handle, { number: 1, offset: 0 }, chunked(sample(1000)));
    await assert.rejects(faulty.complete(handle, [part.token]), /failpoint/);
    await assert.rejects(faulty.complete(handle, [part.token]));
  });
});

/** Runs `work` on a file system of `sizeMebibytes` held in memory. Mounting needs root. */
async function onSmallDisk(sizeMebibytes: number, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = temporaryFolder();
  assert.equal(process.getuid?.(), 0, 'this test mounts a small file system: run it as root');
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMebibytes}m,mode=700`, 'berth-test', folder]);
  try {
    await work(folder);
  } finally {
    execFileSync('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true });
  }
}

function isBerthError(error: string) {
  return (thrown: unknown) => thrown instanceof BerthError && thrown.error === error;
}

describe('folder store on a failing disk', () => {
  test('F-06: a full disk says so, gives back what the failed part took, keeps serving, and recovers by itself', () =>
    onSmallDisk(8, async (folder) => {
      const store = openStore(folder);
      const kept = await put(store, sample(2 * mebibyte));
      const freeBefore = statfsSync(folder).bfree;
      await assert.rejects(put(store, sample(12 * mebibyte)), isBerthError('storageFull'));
      assert.ok(statfsSync(folder).bfree >= freeBefore - 1);
      assert.deepEqual(await collect(store.read(kept)), sample(2 * mebibyte));
      const ballast = join(folder, 'ballast');
      spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4k']);
      await assert.rejects(store.check(), isBerthError('storageFull'));
      await assert.rejects(put(store, sample(200)), isBerthError('storageFull'));
      rmSync(ballast);
      await store.check();
      assert.deepEqual(await collect(store.read(await put(store, sample(200)))), sample(200));
    }));

  test('F-08: a read-only disk says so and keeps serving', () =>
    onSmallDisk(8, async (folder) => {
      const store = openStore(folder);
      const kept = await put(store, sample(1000));
      execFileSync('mount', ['-o', 'remount,ro', folder]);
      await assert.rejects(put(store, sample(1000)), isBerthError('storageReadOnly'));
      await assert.rejects(store.check(), isBerthError('storageReadOnly'));
      assert.deepEqual(await collect(store.read(kept)), sample(1000));
      execFileSync('mount', ['-o', 'remount,rw', folder]);
      await put(store, sample(1000));
    }));
});

const putterBytes = mebibyte + 1000;
/** Puts blobs and prints a line for each that was answered as durable, or as failed. */
const putter = `
  const { createFolderStore } = await import(${JSON.stringify(import.meta.resolve('./folder-store.ts'))});
  const { put, sample } = await import(${JSON.stringify(import.meta.resolve('./blob-store-suite.ts'))});
  const { systemIds } = await import(${JSON.stringify(import.meta.resolve('../system-ids.ts'))});
  const store = createFolderStore({ folder: process.argv.at(-1), ids: systemIds, failpoint: async () => {} });
  for (let index = 0; index < 2; index += 1) {
    const line = await put(store, sample(${putterBytes})).then((key) => 'stored ' + key, () => 'failed');
    console.log(line);
  }`;

describe('folder store under injected faults of the kernel', () => {
  const folder = temporaryFolder();
  after(() => rmSync(folder, { recursive: true }));

  for (const call of ['pwritev', 'pwrite64', 'fsync', 'rename']) {
    test(`F-09: after EIO at each ${call} in turn, what was answered is there and what failed is not`, async () => {
      const own = join(folder, call);
      const reader = openStore(own);
      let hit = 0;
      let isInjected = true;
      while (isInjected) {
        hit += 1;
        const { answers, trace } = putUnderTrace(own, call, hit);
        isInjected = trace.includes('(INJECTED)');
        const stored = answers.flatMap((answer) =>
          answer.startsWith('stored ') ? [answer.slice('stored '.length)] : [],
        );
        for (const key of stored) assert.deepEqual(await collect(reader.read(key)), sample(putterBytes));
        const finished = (await entries(reader, '')).filter((entry) => entry.handle === undefined);
        assert.deepEqual(finished.map((entry) => entry.key).sort(), stored.sort());
        await reader.removeMany(stored);
      }
      assert.ok(hit > 1, 'no fault was injected');
    });
  }
});

/** Another process that puts two blobs while the `hit`-th call of one kind fails; returns its answers, none when it could not start. */
function putUnderTrace(folder: string, call: string, hit: number): { answers: string[]; trace: string } {
  const traceFile = join(folder, 'trace');
  const options = [
    '--seccomp-bpf',
    '-f',
    '-qq',
    '-o',
    traceFile,
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:error=EIO:when=${hit}`,
  ];
  const command = [process.execPath, '--input-type=module', '--eval', putter, folder];
  const { stdout, error } = spawnSync('strace', [...options, ...command], { encoding: 'utf8' });
  if (error) throw error;
  return { answers: stdout.trim().split('\n'), trace: readFileSync(traceFile, 'utf8') };
}
