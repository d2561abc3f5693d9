import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { type BerthError, errorCatalogue } from '../../core/errors.ts';
import type { AdminErrorBody } from '../../wire/admin/error-schema.ts';
import type { Env } from '../middleware/env.ts';

const challenged = ['unauthorized', 'credentialsWrong', 'insufficientScope'];

/** The one place where an error becomes an answer of the admin API. */
export function renderAdminError(c: Context<Env>, error: BerthError): Response {
  const { code, status, message, remedy } = errorCatalogue[error.error];
  const { detail } = error;
  if (challenged.includes(error.error)) c.header('WWW-Authenticate', 'Basic realm="berth", charset="UTF-8"');
  if (error.retryAfterSeconds !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
  const body: AdminErrorBody = { error: { code, message, remedy, ...(detail === undefined ? {} : { detail }) } };
  return c.json(body, toStatus(status));
}

/** The statuses of the catalogue all allow a body; Hono's type cannot see that. */
function toStatus(status: number): ContentfulStatusCode {
  return status as ContentfulStatusCode;
}
