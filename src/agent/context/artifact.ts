import { createHash } from 'node:crypto';
import { z } from 'zod';
import { algorithmOf, isDigest } from '../../core/digest.ts';
import { mediaTypes } from '../../core/media-types.ts';
import { parseImageName } from '../../wire/tasks/image-name.ts';
import { RunFailure } from '../run-failure.ts';
import { archiveOfFile } from './archive.ts';
import type { ReadRepository } from './registry-reader.ts';

/** Where an artifact is: a tag or a digest of a repository. */
export type ArtifactAddress = { readonly server: string; readonly repository: string; readonly reference: string };

const maxManifestBytes = 4 * 1024 * 1024;
const maxLayers = 1_000;
const accepted = [mediaTypes.ociManifest, mediaTypes.dockerManifest, mediaTypes.ociIndex, mediaTypes.dockerList];
/** Source: OCI image specification, "Pre-Defined Annotation Keys"; and what ORAS writes beside the name of a folder. */
const [titleKey, folderKey] = ['org.opencontainers.image.title', 'io.deis.oras.content.unpack'];
const archiveType = /(?:[.+]|^)(?:tar|tgz)(?:[.+](?:gzip|zstd))?$/;

const layerSchema = z.object({
  mediaType: z.string(),
  digest: z.string().refine(isDigest),
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).nullish(),
});
const manifestSchema = z.object({ layers: z.array(layerSchema).max(maxLayers) });
type Layer = z.infer<typeof layerSchema>;

/** Reads what follows `oci://`. Throws RunFailure without a registry, TaskError for what is no name. */
export function parseArtifact(text: string): ArtifactAddress {
  const { registry, repository, tag = 'latest', digest } = parseImageName(text);
  if (registry === undefined)
    throw new RunFailure('the address of the context names no registry: oci://registry/name:tag');
  return { server: registry.toLowerCase(), repository, reference: digest ?? tag };
}

/**
 * The files of an artifact as archives, in the order of its layers: a layer with a title is that file, one that ORAS made of a
 * folder or that is a tar without a title is unpacked; others have no name and are left out. Bytes are those of their digests,
 * or the archive ends with RunFailure. Throws RunFailure. Source: ACR tasks, 1.3.
 */
export async function* archivesOfArtifact(
  read: ReadRepository,
  { server, repository, reference }: ArtifactAddress,
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  const name = `oci://${server}/${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
  const layers = (await manifestOf(read, name, reference)).filter(hasFiles);
  if (layers.length === 0) throw new RunFailure(`${name} holds no files: none of its layers has a title or is a tar`);
  for (const layer of layers) {
    const body = await read(`blobs/${layer.digest}`, { maxBytes: layer.size });
    const seen = { isRight: false };
    const bytes = checked(body, layer.digest, { name, seen });
    const title = layer.annotations?.[titleKey];
    yield title === undefined || isFolder(layer) ? bytes : archiveOfFile(title, layer.size, bytes);
    // An archive may be read before its last byte has come.
    await bytes.return(undefined);
    if (!seen.isRight) throw notWhatWasAsked(name, layer.digest);
  }
}

async function manifestOf(read: ReadRepository, name: string, reference: string): Promise<readonly Layer[]> {
  const body = await read(`manifests/${reference}`, { accept: accepted.join(', '), maxBytes: maxManifestBytes });
  const chunks: Uint8Array[] = [];
  for await (const chunk of isDigest(reference) ? checked(body, reference, { name }) : body) chunks.push(chunk);
  const json = jsonOf(Buffer.concat(chunks).toString('utf8'));
  const found = manifestSchema.safeParse(json);
  if (found.success) return found.data.layers;
  const isIndex = z.object({ manifests: z.array(z.unknown()) }).safeParse(json).success;
  throw new RunFailure(
    isIndex ? `${name} is an index: name one of its manifests by digest` : `${name} is not a manifest that can be read`,
  );
}

function isFolder({ annotations }: Layer): boolean {
  return annotations?.[folderKey] === 'true';
}

function hasFiles(layer: Layer): boolean {
  return layer.annotations?.[titleKey] !== undefined || archiveType.test(layer.mediaType);
}

async function* checked(
  source: AsyncIterable<Uint8Array>,
  digest: Layer['digest'],
  { name, seen }: { readonly name: string; readonly seen?: { isRight: boolean } },
): AsyncGenerator<Uint8Array> {
  const algorithm = algorithmOf(digest);
  const hash = createHash(algorithm);
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
  if (`${algorithm}:${hash.digest('hex')}` !== digest) throw notWhatWasAsked(name, digest);
  if (seen !== undefined) seen.isRight = true;
}

function notWhatWasAsked(name: string, digest: string): RunFailure {
  return new RunFailure(`${name}: what came is not ${digest}`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Said as a manifest that cannot be read.
    return undefined;
  }
}
