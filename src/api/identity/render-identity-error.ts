import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { BerthError, type ErrorRow, errorCatalogue } from '../../core/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { IdentityErrorBody } from '../../wire/identity/identity-messages.ts';
import { describe } from '../login/render-login-error.ts';
import type { IdentityEnv } from './identity-env.ts';

/** The one place where an error becomes an answer of the managed identity endpoint. Our own faults are logged with their cause. */
export function renderIdentityError(log: Log) {
  return (failure: unknown, c: Context<IdentityEnv>): Response => {
    const error = failure instanceof BerthError ? failure : new BerthError('internal', undefined, { cause: failure });
    const row: ErrorRow = errorCatalogue[error.error];
    if (row.status >= 500)
      log.error('request failed', {
        correlationId: c.var.from.correlationId,
        path: c.req.path,
        failure: error.error,
        error: error.cause ?? error,
      });
    if (error.retryAfterSeconds !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
    const message = describe(error, row);
    const body: IdentityErrorBody = {
      error: row.oauth ?? 'invalid_request',
      error_description: message,
      statusCode: row.status,
      message,
    };
    return c.json(body, toStatus(row.status), { 'Cache-Control': 'no-store' });
  };
}

/** The statuses of the catalogue all allow a body; Hono's type cannot see that. */
function toStatus(status: number): ContentfulStatusCode {
  return status as ContentfulStatusCode;
}
