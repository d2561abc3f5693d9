import { createHash, type Hash, randomBytes } from 'node:crypto';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** Bytes of a blob in pieces, so that blobs share what they have in common. */
export type Blob = { readonly digest: string; readonly sizeBytes: number; readonly pieces: Iterable<Uint8Array> };
export type Image = { readonly layer: Blob; readonly config: Blob; readonly manifest: string };

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** Makes the layers of a run. Every size has one base, made when first asked for. */
export class ImageSource {
  readonly #same = new Map<number, Image>();
  readonly #bases = new Map<number, UniqueBase>();
  #count = 0;

  /** `zb`'s image: every push of a size carries the same layer, 4 KiB of random bytes and then zeros. */
  same(sizeBytes: number): Image {
    const known = this.#same.get(sizeBytes);
    if (known !== undefined) return known;
    const bytes = Buffer.alloc(sizeBytes);
    randomBytes(4 * KiB).copy(bytes);
    const image = imageOf(blobOf(bytes), blobOf(Buffer.from(configText('bench'))));
    this.#same.set(sizeBytes, image);
    return image;
  }

  /** An image whose layer and config no registry has seen: random bytes, the last 64 of them new each time. */
  unique(sizeBytes: number): Image {
    const base = this.#bases.get(sizeBytes) ?? new UniqueBase(sizeBytes);
    this.#bases.set(sizeBytes, base);
    return imageOf(
      base.next(),
      blobOf(Buffer.from(configText(`bench ${this.#count++} ${randomBytes(8).toString('hex')}`))),
    );
  }
}

/** A layer of any size made of one block of 1 MiB again and again; hashed once here, outside the timing. */
export function repeatedLayer(sizeBytes: number): Blob {
  const block = randomBytes(MiB);
  const hash = createHash('sha256');
  for (const piece of repeat(block, sizeBytes)) hash.update(piece);
  const pieces = { [Symbol.iterator]: () => repeat(block, sizeBytes) };
  return { digest: digestOf(hash), sizeBytes, pieces };
}

export function imageOf(layer: Blob, config: Blob): Image {
  const manifest = {
    schemaVersion: 2,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)],
  };
  return { layer, config, manifest: JSON.stringify(manifest, null, '\t') };
}

export function blobOf(bytes: Uint8Array): Blob {
  return { digest: digestOf(createHash('sha256').update(bytes)), sizeBytes: bytes.length, pieces: [bytes] };
}

/** Source: `getImageConfig` of `zb`: about 200 bytes. */
export function configText(author: string): string {
  const config = {
    created: '2011-01-01T01:01:01Z',
    author,
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [] },
  };
  return JSON.stringify(config, null, '\t');
}

/** Random bytes hashed once; each layer differs in its last 64 bytes, so that its digest costs the client 64 bytes of hashing. */
class UniqueBase {
  static readonly #tailBytes = 64;
  readonly #head: Buffer;
  readonly #hash: Hash;

  constructor(sizeBytes: number) {
    this.#head = randomBytes(sizeBytes - UniqueBase.#tailBytes);
    this.#hash = createHash('sha256').update(this.#head);
  }

  next(): Blob {
    const tail = randomBytes(UniqueBase.#tailBytes);
    const digest = digestOf(this.#hash.copy().update(tail));
    return { digest, sizeBytes: this.#head.length + tail.length, pieces: [this.#head, tail] };
  }
}

function descriptor(mediaType: string, blob: Blob): object {
  return { mediaType, digest: blob.digest, size: blob.sizeBytes };
}

function digestOf(hash: Hash): string {
  return `sha256:${hash.digest('hex')}`;
}

function* repeat(block: Uint8Array, sizeBytes: number): Generator<Uint8Array> {
  for (let left = sizeBytes; left > 0; left -= block.length)
    yield left < block.length ? block.subarray(0, left) : block;
}
