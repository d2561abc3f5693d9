import { createHash, randomUUID } from 'node:crypto';

/** A blob that can be made again from its seed. */
export type BlobSeed = { readonly seed: string; readonly sizeBytes: number; readonly digest: string };

export type Descriptor = { readonly mediaType: string; readonly digest: string; readonly size: number };

/** A manifest nobody else ever pushes: its bytes carry a random annotation. */
export type UniqueManifest = {
  readonly mediaType: string;
  /** The exact text pushed. */
  readonly text: string;
  readonly digest: string;
};

export const imageType = 'application/vnd.oci.image.manifest.v1+json';
export const indexType = 'application/vnd.oci.image.index.v1+json';

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Bytes that depend on nothing but seed and size. */
export function bytesOf({ seed, sizeBytes }: Omit<BlobSeed, 'digest'>): Buffer {
  return createHash('shake256', { outputLength: sizeBytes }).update(seed).digest();
}

export function blobSeed(sizeBytes: number, seed: string = randomUUID()): BlobSeed {
  return { seed, sizeBytes, digest: sha256(bytesOf({ seed, sizeBytes })) };
}

/** An image over blobs, the first of which stands for the configuration. */
export function imageOf(blobs: readonly BlobSeed[], subject?: Descriptor): UniqueManifest {
  const [config, ...layers] = blobs.map(({ digest, sizeBytes }) => ({ digest, size: sizeBytes }));
  return unique(imageType, {
    ...(subject === undefined ? {} : { artifactType: 'application/vnd.example.note', subject }),
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: layers.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer })),
  });
}

export function indexOf(children: readonly Descriptor[]): UniqueManifest {
  return unique(indexType, { manifests: children });
}

export function descriptorOf({ mediaType, digest, text }: UniqueManifest): Descriptor {
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

function unique(mediaType: string, fields: Readonly<Record<string, unknown>>): UniqueManifest {
  const annotations = { 'example.unique': randomUUID() };
  const text = JSON.stringify({ schemaVersion: 2, mediaType, ...fields, annotations });
  return { mediaType, text, digest: sha256(text) };
}
