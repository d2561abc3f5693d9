import type { Context } from 'hono';
import type { Authorize } from '../../features/access/access.ts';
import type { Authority } from '../../features/access/authority.ts';
import type { Action } from '../../features/access/decision.ts';
import type { AttributeChanges } from '../../features/content/attribute-changes.ts';
import type { Deletions } from '../../features/content/deletions.ts';
import type { Listings } from '../../features/content/listings.ts';
import type { Metadata } from '../../features/content/metadata.ts';
import type { Place } from '../../features/content/place.ts';
import type { UsageReports } from '../../features/content/usage-reports.ts';
import type { DeletedListings } from '../../features/retention/deleted-listings.ts';
import type { Restores } from '../../features/retention/restores.ts';
import type { Env } from '../middleware/env.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import type { ThrottleRequest } from '../middleware/throttle.ts';
import type { AcrPath } from './acr-path.ts';

export type AcrParts = {
  readonly authorize: Authorize;
  readonly listings: Listings;
  readonly metadata: Metadata;
  readonly attributeChanges: AttributeChanges;
  readonly deletions: Deletions;
  readonly usageReports: UsageReports;
  readonly deletedListings: DeletedListings;
  readonly restores: Restores;
  readonly transfer: TransferLimits;
  /** Nobody is held back when absent. */
  readonly throttle?: ThrottleRequest;
};

/** One request after parsing and authorization. */
export type AcrRequest<At> = {
  readonly c: Context<Env>;
  readonly parts: AcrParts;
  readonly authority: Authority;
  /** Decides on something more in the same place, which the body asks for. Throws as `Authorize` does. */
  readonly allow: (action: Action) => Promise<Authority>;
  readonly at: At;
};

export type InRegistry = { readonly registryUid: string };
export type InRepository = { readonly place: Place };
/** `rest` is the tag or digest at the end of the path. */
export type AtContent = InRepository & { readonly rest: string };

/** A route states the access it needs; one without an action does not compile. */
export type AcrRoute<At> = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly resource: AcrPath['resource'];
  readonly action: Action;
  readonly handle: (request: AcrRequest<At>) => Promise<Response>;
};

/** One whose body is read before anything is decided: it may need another access than that of most bodies. */
export type AcrRouteByBody<At> = Omit<AcrRoute<At>, 'handle'> & {
  readonly read: (c: Context<Env>, parts: AcrParts) => Promise<Pick<AcrRoute<At>, 'action' | 'handle'>>;
};
