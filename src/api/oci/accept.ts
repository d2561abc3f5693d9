import { mediaTypes } from '../../core/media-types.ts';

const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];
const imageTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];

/**
 * Whether a client names image manifests but no kind of index, and an index is what is stored: docker before 17.06 and
 * tools of that age, which cannot choose a platform themselves. A client that sends no Accept gets what is stored.
 */
export function wantsPlatformImage(accept: string | undefined, storedType: string): boolean {
  if (accept === undefined || !indexTypes.includes(storedType)) return false;
  const accepted = accept.split(',').map((entry) => entry.split(';')[0]?.trim() ?? '');
  const takesAny = accepted.some((type) => indexTypes.includes(type) || type === '*/*' || type === 'application/*');
  return !takesAny && accepted.some((type) => imageTypes.includes(type));
}
