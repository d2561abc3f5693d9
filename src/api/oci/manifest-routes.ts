import { BerthError } from '../../core/errors.ts';
import { maxManifestBytes } from '../../core/manifest.ts';
import { parseReference, parseTag, type Tag } from '../../core/reference.ts';
import type { StoredManifest } from '../../features/content/manifest-store.ts';
import { bodyIn, bytesIn } from '../middleware/streams.ts';
import { wantsPlatformImage } from './accept.ts';
import { etagOf, isHeld } from './etag.ts';
import { type AtContent, emptyBody, type OciRequest, recordPull } from './oci-route.ts';

/** More tags in one push than any release line has. */
const maxTags = 100;

/**
 * GET and HEAD of a manifest. What is stored is what is answered, whatever Accept says, but for clients from before
 * indexes: asked by tag, they get the linux/amd64 image of an index.
 * Source: OCI distribution specification, "Pulling manifests".
 */
export async function manifestGet(request: OciRequest<AtContent>): Promise<Response> {
  const { c, parts, authority, at } = request;
  const reference = parseReference(at.rest);
  const found = await parts.manifests.find(at.place, reference, authority);
  const manifest =
    reference.kind === 'tag' && wantsPlatformImage(c.req.header('accept'), found.mediaType)
      ? await parts.manifests.platformImage(at.place, found, authority)
      : found;
  const headers = headersOf(manifest);
  if (isHeld(c, manifest.digest)) return c.body(null, 304, headers);
  if (c.req.method === 'HEAD') return c.body(null, 200, headers);
  const tag = reference.kind === 'tag' ? { tag: reference.tag } : {};
  recordPull(request, { repository: at.place.repository, digest: manifest.digest, ...tag });
  // Hono would copy the headers of the most frequent answer into an object that costs more than the rest of it.
  return new Response(plainBytes(manifest.body), { headers });
}

/** Stores a manifest and sets tags. Source: OCI distribution specification, "Pushing manifests". */
export async function manifestPut({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const reference = parseReference(at.rest);
  const tags = reference.kind === 'digest' ? tagsAsked(c.req.queries('tag') ?? []) : [];
  const body = await bytesIn(bodyIn(c, parts.transfer), maxManifestBytes, () => new BerthError('manifestTooLarge'));
  const contentType = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  const push = { body, contentType: contentType === '' ? undefined : contentType, reference, tags };
  const { digest, subject } = await parts.manifests.push(at.place, authority, push);
  for (const tag of tags) c.header('OCI-Tag', tag, { append: true });
  return c.body(null, 201, {
    Location: `/v2/${at.place.repository}/manifests/${digest}`,
    'Docker-Content-Digest': digest,
    ...(subject === undefined ? {} : { 'OCI-Subject': subject }),
    ...emptyBody,
  });
}

/** Removes a tag, or a manifest with its tags. Source: OCI distribution specification, "Deleting manifests". */
export async function manifestDelete({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const reference = parseReference(at.rest);
  await parts.manifests.remove(at.place, authority, reference);
  const digest = reference.kind === 'digest' ? { 'Docker-Content-Digest': reference.digest } : {};
  return c.body(null, 202, { ...digest, ...emptyBody });
}

function tagsAsked(texts: readonly string[]): Tag[] {
  if (texts.length > maxTags) throw new BerthError('requestInvalid', { tags: texts.length, limit: maxTags });
  return texts.map(parseTag);
}

function headersOf({ digest, mediaType, body }: StoredManifest): Record<string, string> {
  return {
    'Content-Type': mediaType,
    'Content-Length': String(body.byteLength),
    'Docker-Content-Digest': digest,
    ETag: etagOf(digest),
  };
}

/** Hono takes bytes over a plain ArrayBuffer only; what the database hands out is that already. */
function plainBytes(body: Uint8Array): Uint8Array<ArrayBuffer> {
  return body.buffer instanceof ArrayBuffer
    ? new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
    : new Uint8Array(body);
}
