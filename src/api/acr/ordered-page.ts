import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { OrderedPage } from '../../features/content/metadata.ts';
import type { Env } from '../middleware/env.ts';
import { pageIn } from '../oci/page-query.ts';

/** Entries of a page whose size nobody asked for, as ACR has it. */
export const usualPage = 100;

/** Other spellings, among them the empty one of ACR's own links, mean the order of names. */
const orders = new Map<string | undefined, OrderedPage['order']>([
  ['timeasc', 'oldestFirst'],
  ['timedesc', 'newestFirst'],
]);

/**
 * Reads `n`, `last` and `orderby`. `last` is a tag or digest, which a link of the order of time follows with a comma and the
 * microseconds at which it was changed. Throws `pageInvalid`, `requestInvalid`. Source: ACR semantics, 4.2, "Sorting".
 */
export function orderedPageIn(c: Context<Env>): OrderedPage {
  const { limit, last } = pageIn(c, usualPage);
  const order = orders.get(c.req.query('orderby')?.toLowerCase()) ?? 'name';
  return { limit, order, last: last === '' ? undefined : lastIn(last) };
}

function lastIn(text: string): OrderedPage['last'] {
  const [name = '', time] = text.split(',');
  if (time === undefined) return { name, changedAt: undefined };
  if (!/^\d{1,15}$|^[1-8]\d{15}$/.test(time)) throw new BerthError('requestInvalid', { last: text.slice(0, 200) });
  return { name, changedAt: Number(time) };
}
