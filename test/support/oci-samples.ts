import { createHash, randomUUID } from 'node:crypto';
import { type Digest, type DigestAlgorithm, digestOf } from '../../src/core/digest.ts';
import { mediaTypes } from '../../src/core/media-types.ts';

/** Bytes and their digest: a blob, or a manifest with its media type. */
export type SampleBlob = { readonly bytes: Buffer; readonly digest: Digest };
export type SampleManifest = SampleBlob & { readonly mediaType: string };

export type SampleDescriptor = { readonly mediaType: string; readonly digest: Digest; readonly size: number };

type More = Readonly<Record<string, unknown>>;

export const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar';

export function hashOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestOf(algorithm, createHash(algorithm).update(bytes).digest('hex'));
}

/** A text as a blob; the bytes of a `seed` where a size is given. */
export function sampleBlob(seed: string = randomUUID(), sizeBytes?: number): SampleBlob {
  const bytes =
    sizeBytes === undefined
      ? Buffer.from(seed)
      : createHash('shake256', { outputLength: sizeBytes }).update(seed).digest();
  return { bytes, digest: hashOf(bytes) };
}

/** An image of these blobs, the first of which stands for the configuration; `more` adds or replaces fields. */
export function sampleImage([config, ...layers]: readonly SampleBlob[], more: More = {}): SampleManifest {
  return manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    ...(config === undefined ? {} : { config: descriptorOf(config, configType) }),
    layers: layers.map((layer) => descriptorOf(layer, layerType)),
    ...more,
  });
}

export function sampleIndex(children: readonly SampleManifest[], more: More = {}): SampleManifest {
  return manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: children.map((child) => descriptorOf(child, child.mediaType)),
    ...more,
  });
}

export function manifestOf(json: More): SampleManifest {
  const bytes = Buffer.from(JSON.stringify(json));
  return { bytes, digest: hashOf(bytes), mediaType: String(json.mediaType) };
}

export function descriptorOf({ bytes, digest }: SampleBlob, mediaType: string): SampleDescriptor {
  return { mediaType, digest, size: bytes.length };
}
