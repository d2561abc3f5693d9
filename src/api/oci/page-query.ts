import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { Page } from '../../features/content/paging.ts';
import type { Env } from '../middleware/env.ts';

const maxPage = 1000;

/**
 * Reads `n` and `last`. No `n` gives pages of `usual` entries, one above 1,000 pages of 1,000: the `Link` leads on. Throws `pageInvalid` and `requestInvalid`.
 * Source: OCI distribution specification, "Listing tags".
 */
export function pageIn(c: Context<Env>, usual = maxPage): Page {
  const n = c.req.query('n');
  const last = textIn(c, 'last') ?? '';
  if (n === undefined || n === '') return { limit: usual, last };
  if (!/^\d{1,10}$/.test(n)) throw new BerthError('pageInvalid', { n: n.slice(0, 20) });
  return { limit: Math.min(Number(n), maxPage), last };
}

/** A parameter that is looked for as it is; throws `requestInvalid` for NUL, which no stored text holds and PostgreSQL refuses. */
export function textIn(c: Context<Env>, name: string): string | undefined {
  const text = c.req.query(name);
  if (text?.includes('\0')) throw new BerthError('requestInvalid', { [name]: 'must not hold NUL' });
  return text;
}

/** The `Link` header that leads to the next page; the path keeps the spelling of the request. */
export function nextLink(c: Context<Env>, page: Pick<Page, 'limit'>, next: string): string {
  const query = new URLSearchParams(c.req.query());
  query.set('last', next);
  query.set('n', String(page.limit));
  return `<${new URL(c.req.url).pathname}?${query}>; rel="next"`;
}
