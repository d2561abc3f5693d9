import { type Digest, isDigest } from './digest.ts';
import { BerthError } from './errors.ts';
import { isNonDistributable, mediaTypes } from './media-types.ts';
import { parseStrictJson, StrictJsonError } from './strict-json.ts';

/** Bytes; the limit of the OCI distribution specification that every client relies on. */
export const maxManifestBytes = 4 * 1024 * 1024;
/** More config, layer and child entries than any real image has. */
export const maxDescriptors = 4096;

/** What a manifest says of another piece of content. */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
};

export type Platform = { readonly architecture: string; readonly os: string; readonly variant?: string };

/** The parts of a manifest that the registry acts on; the bytes themselves are kept as pushed. */
export type Manifest = {
  readonly kind: 'image' | 'index';
  readonly mediaType: string;
  /** As the referrers API shows it: `artifactType`, else the media type of the config. */
  readonly artifactType: string | undefined;
  readonly config: Descriptor | undefined;
  /** Blobs the repository must hold: config and layers, without non-distributable ones. */
  readonly blobs: readonly Descriptor[];
  /** Layers that clients fetch elsewhere. */
  readonly nonDistributable: readonly Descriptor[];
  /** Manifests the repository must hold; only an index has them. */
  readonly children: readonly Descriptor[];
  /** The manifest this one refers to; it need not exist. */
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
};

type Json = Readonly<Record<string, unknown>>;

const imageTypes: readonly string[] = [
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  mediaTypes.ociArtifactManifest,
];
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];

/**
 * Reads a pushed manifest. `contentType` is the request's media type without parameters, or undefined when not sent.
 * Throws `manifestInvalid`, `manifestSchema1` or `manifestTooLarge` with the reason in the detail.
 * Sources: OCI image specification (manifest, image index), Docker image manifest v2 schema 2, ACR's rule that
 * Content-Type and mediaType must agree.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  if (bytes.byteLength > maxManifestBytes) throw new BerthError('manifestTooLarge', { sizeBytes: bytes.byteLength });
  const json = parseObject(bytes);
  const mediaType = mediaTypeOf(json, contentType);
  if (json.schemaVersion !== 2 && mediaType !== mediaTypes.ociArtifactManifest)
    throw invalid('schemaVersion must be 2');
  if (imageTypes.includes(mediaType)) return parseImage(json, mediaType);
  if (indexTypes.includes(mediaType)) return parseIndex(json, mediaType);
  throw invalid(`unknown manifest media type ${mediaType.slice(0, 100)}`);
}

function parseObject(bytes: Uint8Array): Json {
  try {
    const value = parseStrictJson(bytes);
    if (isObject(value)) return value;
  } catch (cause) {
    if (cause instanceof StrictJsonError) throw invalid(cause.message);
    throw cause;
  }
  throw invalid('a manifest is a JSON object');
}

function mediaTypeOf(json: Json, contentType: string | undefined): string {
  const declared = optionalText(json, 'mediaType');
  if (json.schemaVersion === 1 || isSchema1(contentType) || isSchema1(declared))
    throw new BerthError('manifestSchema1');
  const sent = contentType === 'application/json' || contentType === mediaTypes.octetStream ? undefined : contentType;
  if (declared !== undefined && sent !== undefined && declared !== sent) {
    throw invalid(`Content-Type ${sent.slice(0, 100)} does not agree with mediaType ${declared.slice(0, 100)}`);
  }
  return declared ?? sent ?? (json.manifests === undefined ? mediaTypes.ociManifest : mediaTypes.ociIndex);
}

function isSchema1(mediaType: string | undefined): boolean {
  return mediaType === mediaTypes.dockerSchema1 || mediaType === mediaTypes.dockerSchema1Signed;
}

function parseImage(json: Json, mediaType: string): Manifest {
  if (json.manifests !== undefined) throw invalid('an image manifest cannot list manifests');
  const isArtifact = mediaType === mediaTypes.ociArtifactManifest;
  const config = isArtifact ? undefined : descriptor(json.config, 'config');
  const layers = descriptors(json, isArtifact ? 'blobs' : 'layers');
  const all = config === undefined ? layers : [config, ...layers];
  return {
    kind: 'image',
    mediaType,
    artifactType: optionalText(json, 'artifactType') ?? config?.mediaType,
    config,
    blobs: all.filter((entry) => !isNonDistributable(entry.mediaType)),
    nonDistributable: all.filter((entry) => isNonDistributable(entry.mediaType)),
    children: [],
    subject: optionalDescriptor(json, 'subject'),
    annotations: annotations(json.annotations, 'annotations'),
  };
}

function parseIndex(json: Json, mediaType: string): Manifest {
  if (json.layers !== undefined || json.config !== undefined) throw invalid('an index cannot list layers or a config');
  return {
    kind: 'index',
    mediaType,
    artifactType: optionalText(json, 'artifactType'),
    config: undefined,
    blobs: [],
    nonDistributable: [],
    children: descriptors(json, 'manifests'),
    subject: optionalDescriptor(json, 'subject'),
    annotations: annotations(json.annotations, 'annotations'),
  };
}

function descriptors(json: Json, key: string): Descriptor[] {
  const list = json[key] ?? [];
  if (!Array.isArray(list)) throw invalid(`${key} must be a list`);
  if (list.length > maxDescriptors) throw invalid(`${key} has more than ${maxDescriptors} entries`);
  return list.map((entry, index) => descriptor(entry, `${key}[${index}]`));
}

function optionalDescriptor(json: Json, key: string): Descriptor | undefined {
  return json[key] === undefined || json[key] === null ? undefined : descriptor(json[key], key);
}

function descriptor(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw invalid(`${where} must be a descriptor`);
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== 'string' || mediaType === '' || mediaType.includes('\0')) {
    throw invalid(`${where}.mediaType must be a media type`);
  }
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${where}.digest is malformed`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${where}.size must be a whole number of bytes`);
  }
  const artifactType = optionalText(value, 'artifactType');
  const notes = annotations(value.annotations, `${where}.annotations`);
  const platform = platformOf(value.platform);
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(notes === undefined ? {} : { annotations: notes }),
    ...(platform === undefined ? {} : { platform }),
  };
}

function platformOf(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined;
  const { architecture, os, variant } = value;
  if (typeof architecture !== 'string' || typeof os !== 'string') return undefined;
  return { architecture, os, ...(typeof variant === 'string' ? { variant } : {}) };
}

function annotations(value: unknown, where: string): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value) || Object.values(value).some((entry) => typeof entry !== 'string')) {
    throw invalid(`${where} must map texts to texts`);
  }
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, String(entry)]));
}

function optionalText(json: Json, key: string): string | undefined {
  const value = json[key];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string' || value.includes('\0')) throw invalid(`${key} must be a text without NUL`);
  return value;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(reason: string): BerthError {
  return new BerthError('manifestInvalid', { Reason: reason });
}
