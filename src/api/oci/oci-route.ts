import type { Context } from 'hono';
import type { Authorize } from '../../features/access/access.ts';
import type { Authority } from '../../features/access/authority.ts';
import type { Action } from '../../features/access/decision.ts';
import type { Blobs } from '../../features/content/blobs.ts';
import type { Listings } from '../../features/content/listings.ts';
import type { Manifests } from '../../features/content/manifests.ts';
import type { Place } from '../../features/content/place.ts';
import type { Uploads } from '../../features/content/uploads.ts';
import type { Access, AccessLog } from '../../platform/access-log/access-log.ts';
import type { BlobLinks } from '../../platform/blob-store/blob-links.ts';
import type { Failpoint } from '../../platform/failpoints.ts';
import type { Env } from '../middleware/env.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import type { ThrottleRequest } from '../middleware/throttle.ts';
import type { OciPath } from './oci-path.ts';

export type OciParts = {
  readonly authorize: Authorize;
  readonly blobs: Blobs;
  readonly uploads: Uploads;
  readonly manifests: Manifests;
  readonly listings: Listings;
  readonly accessLog: AccessLog;
  readonly transfer: TransferLimits;
  /** Present where clients fetch blobs from the store themselves. */
  readonly blobLinks?: BlobLinks;
  readonly failpoint: Failpoint;
  /** Nobody is held back when absent. */
  readonly throttle?: ThrottleRequest;
};

/** One request after parsing and authorization. */
export type OciRequest<At> = {
  readonly c: Context<Env>;
  readonly parts: OciParts;
  readonly authority: Authority;
  readonly at: At;
};

export type InRegistry = { readonly registryUid: string };
export type InRepository = { readonly place: Place };
/** `rest` is the reference, digest or ticket at the end of the path. */
export type AtContent = InRepository & { readonly rest: string };

/** A route states the access it needs; one without an action does not compile. */
export type OciRoute<At> = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly resource: OciPath['resource'];
  readonly action: Action;
  /** The end-point's number in the OCI distribution specification, or where else it is described. */
  readonly source: string;
  readonly handle: (request: OciRequest<At>) => Promise<Response> | Response;
};

/** An answer without a body says so: without a length it would go out in chunks, of which there are none. */
export const emptyBody = { 'Content-Length': '0' };

/** Notes a pull; HEAD requests are no pulls. */
export function recordPull(
  { c, parts, authority }: OciRequest<unknown>,
  what: Pick<Access, 'repository' | 'tag' | 'digest'>,
): void {
  const { address, correlationId, registry, userAgent } = c.get('call');
  parts.accessLog.record({
    kind: 'pull',
    registryUid: registry.uid,
    identity: authority.principal.uid,
    principalKind: authority.principal.kind,
    address,
    correlationId,
    status: 200,
    ...what,
    ...(userAgent === undefined ? {} : { userAgent }),
  });
}
