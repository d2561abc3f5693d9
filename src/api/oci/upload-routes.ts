import type { Context } from 'hono';
import { type Digest, type DigestAlgorithm, digestAlgorithms, isDigest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { isRepositoryName } from '../../core/repository-name.ts';
import type { Place } from '../../features/content/place.ts';
import type { Chunk } from '../../features/content/uploads.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, type TransferLimits } from '../middleware/streams.ts';
import { parseContentRange } from './byte-range.ts';
import { type AtContent, emptyBody, type InRepository, type OciRequest } from './oci-route.ts';

/**
 * Begins a push: mounts a blob of another repository, takes a whole blob, or opens a session.
 * Source: OCI distribution specification, "Pushing blobs" and "Mounting a blob from another repository".
 */
export async function uploadPost(request: OciRequest<InRepository>): Promise<Response> {
  const { c, parts, authority, at } = request;
  const mount = c.req.query('mount');
  const from = c.req.query('from');
  if (mount !== undefined && isDigest(mount) && (from === undefined || isRepositoryName(from))) {
    const isMounted = await parts.blobs.mount(at.place, authority, mount, from);
    if (isMounted) return created(c, at.place, mount);
  }
  const digest = c.req.query('digest');
  if (digest !== undefined) {
    const wanted = parseDigest(digest);
    await parts.uploads.push(at.place, authority, wanted, bodyIn(c, parts.transfer));
    return created(c, at.place, wanted);
  }
  const { ticket, uid } = parts.uploads.begin(at.place, authority, algorithmAsked(c));
  return c.body(null, 202, { ...sessionHeaders(at.place, ticket, { uid, offset: 0 }), ...emptyBody });
}

/** How far a session is. Source: OCI distribution specification, "Pushing a blob in chunks". */
export async function uploadGet({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const session = parts.uploads.session(at.rest, at.place, authority);
  const offset = await parts.uploads.offset(session, authority);
  return c.body(null, 204, sessionHeaders(at.place, at.rest, { uid: session.uid, offset }));
}

/** Stores a chunk, or a stream of unknown length. */
export async function uploadPatch({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const session = parts.uploads.session(at.rest, at.place, authority);
  const offset = await recoverable(c, at, session.uid, () =>
    parts.uploads.append(session, authority, chunkIn(c, parts.transfer)),
  );
  return c.body(null, 202, { ...sessionHeaders(at.place, at.rest, { uid: session.uid, offset }), ...emptyBody });
}

/** Ends a session; the body may hold the last chunk, or the whole blob. */
export async function uploadPut({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const session = parts.uploads.session(at.rest, at.place, authority);
  const wanted = parseDigest(c.req.query('digest') ?? '');
  await recoverable(c, at, session.uid, () =>
    parts.uploads.finish(session, authority, wanted, chunkIn(c, parts.transfer)),
  );
  return created(c, at.place, wanted);
}

/** Cancels a session. */
export async function uploadDelete({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const session = parts.uploads.session(at.rest, at.place, authority);
  await parts.uploads.cancel(session, authority);
  return c.body(null, 204, { 'Docker-Upload-UUID': session.uid });
}

/** A chunk out of place is refused with the way back: the session's address and how far it is. */
async function recoverable<T>(c: Context<Env>, at: AtContent, uid: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BerthError && error.error === 'uploadRange' && hasOffset(error.detail)) {
      const headers = sessionHeaders(at.place, at.rest, { uid, offset: error.detail.offset });
      for (const [name, value] of Object.entries(headers)) c.header(name, value);
    }
    throw error;
  }
}

function hasOffset(detail: unknown): detail is { readonly offset: number } {
  return typeof detail === 'object' && detail !== null && 'offset' in detail && typeof detail.offset === 'number';
}

function chunkIn(c: Context<Env>, limits: TransferLimits): Chunk {
  return { body: bodyIn(c, limits), range: parseContentRange(c.req.header('content-range')) };
}

function algorithmAsked(c: Context<Env>): DigestAlgorithm {
  const asked = c.req.query('digest-algorithm') ?? 'sha256';
  const algorithm = digestAlgorithms.find((known) => known === asked);
  if (algorithm === undefined) throw new BerthError('digestInvalid', { algorithm: asked.slice(0, 20) });
  return algorithm;
}

/**
 * The `Location` is a path, which clients resolve against the address they used, and holds the session's whole state, since
 * some drop the query. The range is both ends inclusive, `0-0` also while nothing is stored, as Azure Container Registry has it.
 */
function sessionHeaders(
  place: Place,
  ticket: string,
  { uid, offset }: { readonly uid: string; readonly offset: number },
) {
  return {
    Location: `/v2/${place.repository}/blobs/uploads/${ticket}`,
    Range: `0-${Math.max(offset - 1, 0)}`,
    'Docker-Upload-UUID': uid,
  };
}

function created(c: Context<Env>, place: Place, digest: Digest): Response {
  const Location = `/v2/${place.repository}/blobs/${digest}`;
  return c.body(null, 201, { Location, 'Docker-Content-Digest': digest, ...emptyBody });
}
