import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import { type BerthError, type ErrorRow, errorCatalogue } from '../../core/errors.ts';
import { type ArmErrorBody, armErrorSchema } from '../../wire/arm/error-schema.ts';
import type { Env } from '../middleware/env.ts';

/** What `refuse` of features/resources puts into an error. */
const saidSchema = z.object({
  message: z.string(),
  target: z.string().exactOptional(),
  details: armErrorSchema.shape.error.shape.details,
});

/** For rows without a code of their own. Source: Azure Resource Manager, "Common REST error codes". */
const codeOfStatus: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'InvalidAuthenticationToken',
  403: 'AuthorizationFailed',
  404: 'NotFound',
  405: 'HttpMethodNotAllowed',
  408: 'RequestTimeout',
  409: 'Conflict',
  412: 'PreconditionFailed',
  413: 'RequestEntityTooLarge',
  421: 'NotFound',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
};

/** The one place where an error becomes an answer of the resource manager. */
export function renderArmError(c: Context<Env>, error: BerthError): Response {
  const { status } = errorCatalogue[error.error];
  if (status === 401) c.header('WWW-Authenticate', 'Bearer realm="berth", error="invalid_token"');
  if (error.retryAfterSeconds !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
  return c.json(armErrorBody(error), toStatus(status));
}

export function armErrorBody(error: BerthError): ArmErrorBody {
  const row: ErrorRow = errorCatalogue[error.error];
  const code = row.arm ?? codeOfStatus[row.status] ?? 'InternalServerError';
  const said = saidSchema.safeParse(error.detail).data;
  return { error: { code, ...(said ?? { message: `${sentence(row.message)} ${row.remedy}` }) } };
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** The statuses of the catalogue all allow a body; Hono's type cannot see that. */
function toStatus(status: number): ContentfulStatusCode {
  return status as ContentfulStatusCode;
}
