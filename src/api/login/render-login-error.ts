import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { BerthError, type ErrorRow, errorCatalogue } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { LoginErrorBody } from '../../wire/login/login-messages.ts';
import type { Env } from '../middleware/env.ts';
import { failurePage } from './page.ts';

/** The one place where an error becomes an answer of the login surface. Our own faults are logged with their cause. */
export function renderLoginError(parts: { readonly log: Log; readonly clock: Clock }) {
  return async (failure: unknown, c: Context<Env>): Promise<Response> => {
    const error = failure instanceof BerthError ? failure : new BerthError('internal', undefined, { cause: failure });
    const row: ErrorRow = errorCatalogue[error.error];
    const { correlationId } = c.var.call;
    if (row.status >= 500)
      parts.log.error('request failed', {
        correlationId,
        method: c.req.method,
        path: c.req.path,
        failure: error.error,
        error: error.cause ?? error,
      });
    if (error.retryAfterSeconds !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
    if (row.status === 401 && c.req.header('authorization') !== undefined)
      c.header('WWW-Authenticate', 'Basic realm="berth", charset="UTF-8"');
    c.header('Cache-Control', 'no-store');
    const pageStatus = isForPerson(c) ? pageStatuses.find((each) => each === row.status) : undefined;
    if (pageStatus !== undefined) return await failurePage(c, describe(error, row), pageStatus);
    return c.json(bodyOf(error, row, correlationId, parts.clock), toStatus(row.status));
  };
}

function bodyOf(error: BerthError, row: ErrorRow, correlationId: string, clock: Clock): LoginErrorBody {
  const timestamp = `${new Date(clock.nowMicros() / 1000).toISOString().slice(0, 19).replace('T', ' ')}Z`;
  return {
    error: row.oauth ?? (row.status >= 429 ? 'temporarily_unavailable' : 'invalid_request'),
    error_description: `${row.aadsts === undefined ? '' : `AADSTS${row.aadsts}: `}${describe(error, row)} Correlation ID: ${correlationId}`,
    error_codes: row.aadsts === undefined ? [] : [row.aadsts],
    timestamp,
    trace_id: correlationId,
    correlation_id: correlationId,
  };
}

const pageStatuses = [400, 401, 403, 404, 413, 429] as const;

/** Browsers that show pages ask for them; programs ask for JSON or anything. */
function isForPerson(c: Context<Env>): boolean {
  return c.req.header('accept')?.includes('text/html') ?? false;
}

/** What a person reads: what failed, on which thing, what would help. */
export function describe({ detail }: BerthError, { message, remedy }: ErrorRow): string {
  const about = detail === undefined ? '' : `: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`;
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${about}. ${remedy}`;
}

/** The statuses of the catalogue all allow a body; Hono's type cannot see that. */
function toStatus(status: number): ContentfulStatusCode {
  return status as ContentfulStatusCode;
}
