import type { Context } from 'hono';
import { refuse } from '../../features/resources/refuse.ts';
import type { ResourceHead } from '../../features/resources/resource.ts';
import type { ResourceFilter } from '../../features/resources/resource-filter.ts';
import type { ListQuery } from '../../features/resources/resource-store.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Env } from '../middleware/env.ts';

const defaultPage = 250;
const largestPage = 1_000;
/** Rows read at once where only some of them will match. */
const readAhead = 500;

/** Lists one kind of resources, picks from them, and shows them. */
export type PageSource<Listed extends ResourceHead> = {
  readonly list: (query: ListQuery) => Promise<readonly Listed[]>;
  readonly query: Omit<ListQuery, 'after' | 'limit'>;
  readonly filter: ResourceFilter;
  readonly views: (page: readonly Listed[]) => Promise<readonly JsonObject[]>;
};

/**
 * Answers one page of resources in the order of their ids, with the address of the next. `$top` sets its length, `$skiptoken`
 * stands for where it begins. Throws `requestInvalid`.
 */
export async function pageOf<Listed extends ResourceHead>(
  c: Context<Env>,
  { list, query, filter, views }: PageSource<Listed>,
): Promise<Response> {
  const length = lengthOf(c.req.query('$top'));
  const found: Listed[] = [];
  let after = afterOf(c.req.query('$skiptoken'));
  let isEnd = false;
  // One more than the page tells whether there is a next one.
  while (!isEnd && found.length <= length) {
    const limit = filter.isExact ? length + 1 : Math.max(readAhead, length + 1);
    const rows = await list({ ...query, ...(after === undefined ? {} : { after }), limit });
    found.push(...rows.filter(filter.matches));
    after = rows.at(-1)?.id.toLowerCase();
    isEnd = rows.length < limit;
  }
  const page = found.slice(0, length);
  const last = page.at(-1);
  const nextLink = found.length > length && last !== undefined ? nextLinkOf(c, last) : undefined;
  return c.json({ value: await views(page), ...(nextLink === undefined ? {} : { nextLink }) });
}

function nextLinkOf(c: Context<Env>, last: ResourceHead): string {
  const { pathname, searchParams } = new URL(c.req.url);
  searchParams.set('$skiptoken', Buffer.from(last.id.toLowerCase()).toString('base64url'));
  return `${c.var.call.origin}${pathname}?${searchParams}`;
}

function lengthOf(top: string | undefined): number {
  if (top === undefined) return defaultPage;
  const length = /^\d{1,6}$/.test(top) ? Number(top) : 0;
  if (length < 1) throw refuse('requestInvalid', { message: '$top is a whole number from 1.', target: '$top' });
  return Math.min(length, largestPage);
}

function afterOf(token: string | undefined): string | undefined {
  if (token === undefined) return undefined;
  const after = /^[\w-]{1,4000}$/.test(token) ? Buffer.from(token, 'base64url').toString() : '';
  if (!/^\/subscriptions\/[\x20-\x7e]*$/.test(after))
    throw refuse('requestInvalid', {
      message: 'The $skiptoken is not one that this server gave.',
      target: '$skiptoken',
    });
  return after;
}
