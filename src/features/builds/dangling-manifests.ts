import { mediaTypes } from '../../core/media-types.ts';
import type { ManifestMetadata } from '../content/metadata.ts';

type Seen = Pick<ManifestMetadata, 'digest' | 'mediaType' | 'tags' | 'references'>;

/**
 * Manifests of a repository without a tag that no tagged index lists, however deep. Those of OCI images are left out, as Azure's
 * program does it: they may be what is attached to others. Source: Azure/acr-cli, cmd/repository.
 */
export function danglingManifests<T extends Seen>(manifests: readonly T[]): readonly T[] {
  const known = new Map(manifests.map((manifest) => [manifest.digest, manifest]));
  const held = new Set(manifests.filter(({ tags }) => tags.length > 0).map(({ digest }) => digest));
  for (const digest of held) for (const child of known.get(digest)?.references ?? []) held.add(child.digest);
  return manifests.filter(({ digest, mediaType }) => !held.has(digest) && mediaType !== mediaTypes.ociManifest);
}
