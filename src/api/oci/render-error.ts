import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { type BerthError, type ErrorDetail, errorCatalogue } from '../../core/errors.ts';
import type { ErrorList } from '../../wire/oci/lists.ts';
import type { Env } from '../middleware/env.ts';

const challenged = ['unauthorized', 'credentialsWrong', 'insufficientScope'];

/**
 * The one place where an error becomes an answer of the OCI surface. A refused sign-in carries the challenge that tells
 * clients where to get a token and for what. Sources: OCI distribution specification, "Error codes"; Docker registry token
 * authentication; ACR semantics, "Token flow".
 */
export function renderOciError(c: Context<Env>, error: BerthError): Response {
  const { code, status, message } = errorCatalogue[error.error];
  const { detail } = error;
  const text = error.error === 'networkDenied' ? networkText(c.get('call').address) : message;
  if (challenged.includes(error.error)) c.header('WWW-Authenticate', challenge(c, error));
  if (error.retryAfterSeconds !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
  const body: ErrorList = { errors: [{ code, message: text, ...(detail === undefined ? {} : { detail }) }] };
  return c.json(body, toStatus(status));
}

/** As clients and their guides know it. Source: ACR semantics, "Errors seen by users". */
function networkText(address: string): string {
  return `client with IP '${address}' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.`;
}

function challenge(c: Context<Env>, error: BerthError): string {
  const { origin, registry } = c.get('call');
  const scope = scopeOf(error.detail);
  return [
    `Bearer realm="${origin}/oauth2/token"`,
    `service="${registry.loginServer}"`,
    ...(scope === '' ? [] : [`scope="${scope}"`]),
    ...(error.error === 'insufficientScope' ? ['error="insufficient_scope"'] : []),
  ].join(',');
}

/** `repository:name:pull,push`, from the `{ Type, Name, Action }` entries that a refused sign-in lists. */
function scopeOf(detail: ErrorDetail | undefined): string {
  if (!isList(detail)) return '';
  const actions = new Map<string, unknown[]>();
  for (const { Type, Name, Action } of detail) {
    const key = `${Type}:${Name}`;
    actions.set(key, [...(actions.get(key) ?? []), Action]);
  }
  return [...actions].map(([key, list]) => `${key}:${list.join(',')}`).join(' ');
}

function isList(detail: ErrorDetail | undefined): detail is readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(detail);
}

/** The statuses of the catalogue all allow a body; Hono's type cannot see that. */
function toStatus(status: number): ContentfulStatusCode {
  return status as ContentfulStatusCode;
}
