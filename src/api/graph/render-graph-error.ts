import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { BerthError, type ErrorRow, errorCatalogue } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { GraphErrorBody } from '../../wire/graph/graph-messages.ts';
import type { Env } from '../middleware/env.ts';

/** Source: Microsoft Graph, "Error responses and resource types". */
const codeOfStatus: Readonly<Record<number, string>> = {
  400: 'Request_BadRequest',
  401: 'InvalidAuthenticationToken',
  403: 'Authorization_RequestDenied',
  404: 'Request_ResourceNotFound',
  409: 'Request_MultipleObjectsWithSameKeyValue',
  413: 'RequestEntityTooLarge',
  429: 'TooManyRequests',
  503: 'serviceNotAvailable',
};

/** The one place where an error becomes an answer of the directory. Our own faults are logged with their cause. */
export function renderGraphError({ log, clock }: { readonly log: Log; readonly clock: Clock }) {
  return (failure: unknown, c: Context<Env>): Response => {
    const error = failure instanceof BerthError ? failure : new BerthError('internal', undefined, { cause: failure });
    const row: ErrorRow = errorCatalogue[error.error];
    const { correlationId } = c.var.call;
    if (row.status >= 500)
      log.error('request failed', {
        correlationId,
        method: c.req.method,
        path: c.req.path,
        failure: error.error,
        error: error.cause ?? error,
      });
    if (row.status === 401) c.header('WWW-Authenticate', 'Bearer realm="berth", error="invalid_token"');
    if (error.retryAfterSeconds !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
    const body: GraphErrorBody = {
      error: {
        code: codeOfStatus[row.status] ?? 'generalException',
        message: messageOf(error, row),
        innerError: {
          date: new Date(clock.nowMicros() / 1000).toISOString().slice(0, 19),
          'request-id': correlationId,
          'client-request-id': correlationId,
        },
      },
    };
    return c.json(body, toStatus(row.status));
  };
}

function messageOf({ error, detail }: BerthError, { message, remedy }: ErrorRow): string {
  if (error === 'unauthorized') return 'Access token is empty, invalid or has expired. Sign in again with az login.';
  const about = detail === undefined ? '' : `: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`;
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${about}. ${remedy}`;
}

/** The statuses of the catalogue all allow a body; Hono's type cannot see that. */
function toStatus(status: number): ContentfulStatusCode {
  return status as ContentfulStatusCode;
}
