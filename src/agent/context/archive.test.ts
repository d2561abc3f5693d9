import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { extract, type Header, pack } from 'tar-stream';
import { RunFailure } from '../run-failure.ts';
import { safeArchive } from './archive.ts';
import { framed, unframed } from './frames.ts';

type Entry = Partial<Header> & { readonly name: string; readonly text?: string };
const limits = { maxEntries: 100, maxBytes: 1_000_000 };

async function bytesOf(source: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function archiveOf(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { text, ...header } of entries) archive.entry(header, text ?? '');
  archive.finalize();
  return await bytesOf(archive);
}

async function* inPieces(bytes: Uint8Array, size = 1_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** As the program of archives gets them. */
async function* inFrames(...archives: readonly Uint8Array[]): AsyncGenerator<AsyncIterable<Uint8Array>> {
  const streams = async function* () {
    for (const archive of archives) yield inPieces(archive);
  };
  yield* unframed(inPieces(await bytesOf(framed(streams())), 777));
}

async function passed(...archives: readonly Uint8Array[]): Promise<Header[]> {
  const reader = extract();
  reader.end(await bytesOf(safeArchive(inFrames(...archives), limits)));
  const found: Header[] = [];
  for await (const entry of reader) {
    found.push(entry.header);
    entry.resume();
  }
  return found;
}

const harmless: readonly Entry[] = [
  { name: './', type: 'directory' },
  { name: '/', type: 'directory' },
  { name: './src/', type: 'directory' },
  { name: './src/a.txt', text: 'hello', mode: 0o4755, uid: 1000 },
  { name: 'link', type: 'symlink', linkname: 'src/a.txt' },
  { name: 'src/up', type: 'symlink', linkname: '../link' },
  { name: 'hard', type: 'link', linkname: 'src/a.txt' },
];

describe('an archive of a context', () => {
  test('files, folders and links inside pass, without setuid and owner', async () => {
    const found = await passed(await archiveOf(harmless));
    assert.deepEqual(
      found.map(({ name }) => name),
      ['src/', 'src/a.txt', 'link', 'src/up', 'hard'].map((name) => name.replace(/\/$/, '')),
    );
    assert.equal(found[1]?.mode, 0o755);
    assert.equal(found[1]?.uid, 0);
  });
  test('gzip and zstd are known by their first bytes', async () => {
    const plain = await archiveOf(harmless);
    assert.equal((await passed(gzipSync(plain))).length, 5);
    assert.equal((await passed(zstdCompressSync(plain))).length, 5);
  });

  const hostile: readonly [string, readonly Entry[]][] = [
    ['an absolute name', [{ name: '/etc/passwd', text: 'x' }]],
    ['a name that leaves', [{ name: '../x', text: 'x' }]],
    ['a name that leaves further down', [{ name: 'a/b/../../../x', text: 'x' }]],
    ['a link out', [{ name: 'a', type: 'symlink', linkname: '../x' }]],
    ['an absolute link', [{ name: 'a', type: 'symlink', linkname: '/etc' }]],
    ['a link out from a folder', [{ name: 'a/b', type: 'symlink', linkname: '../../x' }]],
    ['a hard link out', [{ name: 'a', type: 'link', linkname: '../x' }]],
    ['an absolute hard link', [{ name: 'a', type: 'link', linkname: '/etc/shadow' }]],
    [
      'a file below a link',
      [
        { name: 'a', type: 'symlink', linkname: 'b' },
        { name: 'a/x', text: 'x' },
      ],
    ],
    [
      'a hard link through a link',
      [
        { name: 'a', type: 'symlink', linkname: 'b' },
        { name: 'c', type: 'link', linkname: 'a/x' },
      ],
    ],
    [
      'a link that leads out through a link',
      [
        { name: 's', type: 'symlink', linkname: '.' },
        { name: 't', type: 'symlink', linkname: 's/s/s/../../../etc/passwd' },
      ],
    ],
    [
      'a hard link to a link, which means another place there',
      [
        { name: 'd/e/f/x', type: 'symlink', linkname: '../../..' },
        { name: 'h', type: 'link', linkname: 'd/e/f/x' },
      ],
    ],
    ['a device', [{ name: 'a', type: 'character-device', devmajor: 1, devminor: 3 }]],
    ['a disk', [{ name: 'a', type: 'block-device', devmajor: 8, devminor: 0 }]],
    ['a pipe', [{ name: 'a', type: 'fifo' }]],
    ['too many files', Array.from({ length: 101 }, (_, at) => ({ name: `f${at}`, text: '' }))],
    ['too many bytes', [{ name: 'a', text: 'x'.repeat(1_000_001) }]],
    ['nothing', []],
  ];
  for (const [label, entries] of hostile) {
    test(`${label} is refused`, async () => {
      await assert.rejects(passed(await archiveOf(entries)), RunFailure);
    });
  }
  const broken: readonly [string, Uint8Array][] = [
    ['a web page', Buffer.from(`<html>${'x'.repeat(2_000)}</html>`)],
    ['half of a gzip', gzipSync(Buffer.alloc(100_000, 'x')).subarray(0, 60)],
    ['an empty gzip', gzipSync('')],
    ['no bytes', new Uint8Array()],
  ];
  for (const [label, bytes] of broken) {
    test(`${label} is refused`, async () => assert.rejects(passed(bytes), RunFailure));
  }
  test('archives that are unpacked over each other are one, and know of their links', async () => {
    const link = await archiveOf([{ name: 'a', type: 'symlink', linkname: '.' }]);
    const file = (name: string) => archiveOf([{ name, text: 'x' }]);
    const found = await passed(link, gzipSync(await file('b')), await file('c'));
    assert.deepEqual(
      found.map(({ name }) => name),
      ['a', 'b', 'c'],
    );
    await assert.rejects(passed(link, await file('a/b')), /which is a link/);
  });
  test('frames that are cut off are refused', async () => {
    const whole = await bytesOf(framed(inFrames(await archiveOf(harmless))));
    await assert.rejects(async () => {
      for await (const archive of unframed(inPieces(whole.subarray(0, -10)))) await bytesOf(archive);
    }, /cut off/);
  });
  test('an archive that is cut off is refused', async () => {
    const whole = await archiveOf([{ name: 'a', text: 'x'.repeat(5_000) }]);
    await assert.rejects(passed(whole.subarray(0, 2_000)), RunFailure);
  });
});
