import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import { RunFailure } from '../run-failure.ts';
import { safeArchive } from './archive.ts';
import { archivesOfArtifact, parseArtifact } from './artifact.ts';
import type { ReadRepository } from './registry-reader.ts';

const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const titleKey = 'org.opencontainers.image.title';

async function folderOf(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files)) archive.entry({ name }, text);
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return gzipSync(Buffer.concat(chunks));
}

type Layer = {
  readonly bytes: Buffer;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly mediaType?: string;
  /** What the registry sends instead. */
  readonly sent?: Buffer;
};

/** The files that come of these layers, in order. */
async function filesOf(layers: readonly Layer[], manifest: object = {}): Promise<string[]> {
  const described = layers.map(({ bytes, annotations, mediaType = 'application/octet-stream' }) => {
    return { mediaType, digest: digestOf(bytes), size: bytes.length, ...(annotations && { annotations }) };
  });
  const read: ReadRepository = async (path) => {
    if (path === 'manifests/v1') return pieces(Buffer.from(JSON.stringify({ layers: described, ...manifest })));
    const found = layers.find(({ bytes }) => path === `blobs/${digestOf(bytes)}`);
    return pieces(found?.sent ?? found?.bytes ?? Buffer.alloc(0));
  };
  const names: string[] = [];
  const address = { server: 'r.example', repository: 'a', reference: 'v1' };
  const reader = extract();
  const chunks: Uint8Array[] = [];
  const limits = { maxEntries: 100, maxBytes: 100_000 };
  for await (const chunk of safeArchive(archivesOfArtifact(read, address), limits)) chunks.push(chunk);
  reader.end(Buffer.concat(chunks));
  for await (const entry of reader) {
    names.push(entry.header.name);
    entry.resume();
  }
  return names;
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
}

describe('an artifact', () => {
  const file = Buffer.from('FROM scratch');
  const titled = { bytes: file, annotations: { [titleKey]: 'Dockerfile' } };

  test('files by their titles, folders unpacked, layers without a name left out', async () => {
    const folder = await folderOf({ 'src/a': 'one', 'src/b': 'x'.repeat(5_000) });
    const unpacked = { [titleKey]: 'src', 'io.deis.oras.content.unpack': 'true' };
    const layers = [titled, { bytes: folder, annotations: unpacked }, { bytes: Buffer.from('no name') }];
    assert.deepEqual(await filesOf(layers), ['Dockerfile', 'src/a', 'src/b']);
  });
  test('a tar without a title is unpacked, one with a title is a file', async () => {
    const bytes = await folderOf({ a: 'one' });
    const mediaType = 'application/vnd.cncf.flux.content.v1.tar+gzip';
    assert.deepEqual(await filesOf([{ bytes, mediaType }]), ['a']);
    assert.deepEqual(await filesOf([{ bytes, mediaType, annotations: { [titleKey]: 'a.tgz' } }]), ['a.tgz']);
  });
  const other = async () => await folderOf({ a: 'another one' });
  const hostile: readonly [string, () => Promise<readonly Layer[]>, object?][] = [
    ['another file', async () => [{ ...titled, sent: Buffer.from('FROM elsewher') }]],
    ['half of a file', async () => [{ ...titled, sent: file.subarray(0, 3) }]],
    [
      'another folder',
      async () => [{ bytes: await folderOf({ a: '1' }), mediaType: 'a.tar+gzip', sent: await other() }],
    ],
    ['a title that leaves', async () => [{ ...titled, annotations: { [titleKey]: '../../etc/x' } }]],
    ['a title that is absolute', async () => [{ ...titled, annotations: { [titleKey]: '/etc/x' } }]],
    ['no files', async () => [{ bytes: file }]],
    ['an index', async () => [], { layers: undefined, manifests: [] }],
    ['a digest that is none', async () => [], { layers: [{ mediaType: 'a', digest: '../../x', size: 1 }] }],
  ];
  for (const [label, layers, manifest] of hostile) {
    test(`${label} is refused`, async () => assert.rejects(filesOf(await layers(), manifest), RunFailure));
  }
  test('its address names a registry', () => {
    assert.deepEqual(parseArtifact('R.example:5000/a/b:v1'), {
      ...{ server: 'r.example:5000', repository: 'a/b', reference: 'v1' },
    });
    assert.throws(() => parseArtifact('a/b:v1'), RunFailure);
  });
});
