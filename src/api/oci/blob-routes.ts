import { parseDigest } from '../../core/digest.ts';
import { mediaTypes } from '../../core/media-types.ts';
import { type BlobAnswer, sendBlob } from '../middleware/streams.ts';
import { parseRange } from './byte-range.ts';
import { etagOf, isHeld } from './etag.ts';
import { type AtContent, emptyBody, type OciRequest } from './oci-route.ts';

/** A client follows at once, and may come back for a range of the same blob. */
const linkSeconds = 600;
const cacheForever = 'private, max-age=31536000, immutable';

/** GET and HEAD of a blob. Source: OCI distribution specification, "Pulling blobs". */
export async function blobGet({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const digest = parseDigest(at.rest);
  const blob = await parts.blobs.find(at.place, digest, authority);
  const headers = {
    'Docker-Content-Digest': digest,
    ETag: etagOf(digest),
    'Accept-Ranges': 'bytes',
    'Cache-Control': cacheForever,
  };
  if (isHeld(c, digest)) return c.body(null, 304, headers);
  const type = { 'Content-Type': mediaTypes.octetStream };
  if (c.req.method === 'HEAD')
    return c.body(null, 200, { ...headers, ...type, 'Content-Length': String(blob.sizeBytes) });
  const request = parseRange(c.req.header('range'), blob.sizeBytes);
  if (request.kind === 'unsatisfiable') {
    return c.body(null, 416, { ...headers, 'Content-Range': `bytes */${blob.sizeBytes}` });
  }
  if (parts.blobLinks !== undefined) {
    const Location = await parts.blobLinks.linkTo(blob.storageKey, linkSeconds);
    return c.body(null, 307, { ...headers, 'Cache-Control': 'no-store', Location, ...emptyBody });
  }
  const { start, end } = request.kind === 'part' ? request.range : { start: 0, end: blob.sizeBytes };
  const part = { 'Content-Range': `bytes ${start}-${end - 1}/${blob.sizeBytes}` };
  const answer: BlobAnswer = {
    status: request.kind === 'part' ? 206 : 200,
    headers: { ...headers, ...type, 'Content-Length': String(end - start), ...(request.kind === 'part' ? part : {}) },
    bytes: parts.blobs.read(blob, { start, end }),
  };
  return await sendBlob(c, answer, parts.transfer);
}

/** Takes a blob out of the repository. Source: OCI distribution specification, "Deleting blobs". */
export async function blobDelete({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const digest = parseDigest(at.rest);
  await parts.blobs.remove(at.place, authority, digest);
  return c.body(null, 202, { 'Docker-Content-Digest': digest, ...emptyBody });
}
