import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { type BerthError, type ErrorRow, errorCatalogue } from '../../core/errors.ts';
import { blobContainer } from '../../features/builds/blob-addresses.ts';
import type { Env } from '../middleware/env.ts';

/** Whether a path is one of those that signed addresses have. */
export function isBlobPath(path: string): boolean {
  return path.startsWith(`/${blobContainer}/`);
}

/** The one place where an error becomes an answer in the form of Azure Storage: clients read the header. */
export function renderBlobError(c: Context<Env>, error: BerthError): Response {
  const row: ErrorRow = errorCatalogue[error.error];
  const { status, message, remedy } = row;
  const code = row.storage ?? row.code;
  const detail = typeof error.detail === 'string' ? `: ${error.detail}` : '';
  if (error.retryAfterSeconds !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
  const headers = { 'x-ms-error-code': code, 'Content-Type': 'application/xml', 'Cache-Control': 'no-store' };
  if (c.req.method === 'HEAD') return c.body(null, toStatus(status), headers);
  const text = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${escaped(`${message}${detail}. ${remedy}`)}</Message></Error>`;
  return c.body(text, toStatus(status), headers);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** The statuses of the catalogue all allow a body; Hono's type cannot see that. */
function toStatus(status: number): ContentfulStatusCode {
  return status as ContentfulStatusCode;
}
