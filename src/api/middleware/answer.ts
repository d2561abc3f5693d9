import type { RequestListener } from 'node:http';
import { Http2ServerRequest } from 'node:http2';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { errorCatalogue } from '../../core/errors.ts';
import type { Env } from './env.ts';

/** Hands Node's requests to the app. Bodies left unread are the app's affair (`refuseRest`). */
export function answerWith(app: Pick<Hono<Env>, 'fetch'>): RequestListener {
  const listener = getRequestListener((request, env) => app.fetch(request, isHttp1(env) ? env : {}), {
    autoCleanupIncoming: false,
    errorHandler: malformed,
  });
  return (incoming, outgoing) => {
    listener(incoming, outgoing);
  };
}

/** Always so: our servers speak HTTP/1.1 only, and the adapter's type holds both. */
function isHttp1<T extends { readonly incoming: unknown }>(
  env: T,
): env is Exclude<T, { incoming: Http2ServerRequest }> {
  return !(env.incoming instanceof Http2ServerRequest);
}

/** A request that is no request: without a host, or with an address that is none. */
function malformed(): Response {
  const { status, code, message } = errorCatalogue.requestInvalid;
  return Response.json({ errors: [{ code, message }] }, { status });
}
