import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { BerthError, errorCatalogue } from '../../core/errors.ts';
import type { Log } from '../../platform/log.ts';
import { renderAdminError } from '../admin/render-admin-error.ts';
import { isArmPath } from '../arm/arm-path.ts';
import { renderArmError } from '../arm/render-arm-error.ts';
import { isBlobPath, renderBlobError } from '../blob/render-blob-error.ts';
import { renderOciError } from '../oci/render-error.ts';
import type { Env } from './env.ts';
import { ClientGone } from './streams.ts';

/** Makes an answer of whatever was thrown, in the form of the surface that was asked. Our own faults are logged with their cause. */
export function renderFailure(log: Log): (failure: unknown, c: Context<Env>) => Response {
  return (failure, c) => {
    // Nobody is left to read it.
    if (failure instanceof ClientGone) return c.body(null, 400);
    const error = failure instanceof BerthError ? failure : new BerthError('internal', undefined, { cause: failure });
    if (errorCatalogue[error.error].status >= 500) logFault(log, c, error);
    // Content found damaged in the middle: the answer has begun, and has been cut short.
    if (c.env?.outgoing?.headersSent) return RESPONSE_ALREADY_SENT;
    return render(c, error);
  };
}

/** What no route answers to. */
export function renderNotFound(c: Context<Env>): Response {
  return render(c, new BerthError('routeUnknown'));
}

function render(c: Context<Env>, error: BerthError): Response {
  if (c.req.path.startsWith('/admin/') || c.req.path.startsWith('/agent/')) return renderAdminError(c, error);
  if (isBlobPath(c.req.path)) return renderBlobError(c, error);
  if (isArmPath(c.req.path)) return renderArmError(c, error);
  return renderOciError(c, error);
}

function logFault(log: Log, c: Context<Env>, error: BerthError): void {
  const call: Env['Variables']['call'] | undefined = c.var.call;
  log.error('request failed', {
    correlationId: call?.correlationId,
    method: c.req.method,
    path: c.req.path,
    failure: error.error,
    error: error.cause ?? error,
  });
}
