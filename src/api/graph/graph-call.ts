import type { Context } from 'hono';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import { parseStrictJson, StrictJsonError } from '../../core/strict-json.ts';
import type { Page } from '../../features/identity/directory-change.ts';
import { objectIdOf, uidOfObjectId } from '../../features/identity/object-id.ts';
import type { Principal } from '../../features/identity/principal.ts';
import type { TenantDirectory } from '../../features/identity/tenant-directory.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';
import { fixedValue, matches, type ODataFilter, parseFilter } from './odata-filter.ts';

export const graphBase = '/graph/v1.0';
const maxBodyBytes = 1024 * 1024;
const defaultPage = 100;
const maxPage = 999;
/** Objects read at once while a filter looks for its own. */
const slice = 500;

/** One request to the directory, after its caller was allowed it. */
export type GraphCall = {
  readonly c: Context<Env>;
  readonly by: Principal;
  readonly directory: TenantDirectory;
  /** GUID. */
  readonly tenantId: string;
  readonly transfer: TransferLimits;
};

/** Throws `bodyTooLarge`; `directoryObjectInvalid` with the names of the members that are wrong. */
export async function bodyOf<T>({ c, transfer }: GraphCall, schema: z.ZodType<T>): Promise<T> {
  const bytes = await bytesIn(bodyIn(c, transfer), maxBodyBytes, () => new BerthError('bodyTooLarge'));
  const value = bytes.length === 0 ? {} : parse(bytes);
  if (holdsNul(value)) throw new BerthError('directoryObjectInvalid', 'no text may hold the character U+0000');
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new BerthError('directoryObjectInvalid', problems.join('; ').slice(0, 1000));
}

/** The uid behind an id of the path. Throws `directoryObjectUnknown` for anything but a GUID. */
export function uidIn({ c }: GraphCall, name = 'id'): string {
  return uidOf(c.req.param(name) ?? '');
}

export function uidOf(objectId: string): string {
  const uid = uidOfObjectId(objectId);
  if (uid === undefined) throw new BerthError('directoryObjectUnknown', { id: objectId.slice(0, 200) });
  return uid;
}

/** Throws `filterInvalid`. */
function filterOf({ c }: GraphCall): ODataFilter | undefined {
  for (const name of ['$search', '$orderby', '$expand', '$apply'])
    if (c.req.query(name) !== undefined) throw new BerthError('filterInvalid', `${name} is not supported`);
  const text = c.req.query('$filter');
  return text === undefined || text.trim() === '' ? undefined : parseFilter(text);
}

export type ListRequest<T> = {
  readonly list: (page: Page) => Promise<readonly T[]>;
  readonly view: (item: T) => JsonObject;
  /** Members that name one object at most, and how it is found: then no other is read. */
  readonly key?: { readonly members: readonly string[]; readonly find: (value: string) => Promise<T | undefined> };
};

/** One page of what the `$filter` picks, with the address of the next. Throws `filterInvalid`. Source: Microsoft Graph, "Paging". */
export async function listAnswer<T extends { readonly uid: string }>(
  call: GraphCall,
  { list, view, key }: ListRequest<T>,
): Promise<Response> {
  const { c } = call;
  const filter = filterOf(call);
  const named = filter && key?.members.map((member) => fixedValue(filter, member)).find((value) => value !== undefined);
  const read = async (page: Page) => {
    if (key === undefined || named === undefined) return await list(page);
    const one = await key.find(named);
    return one === undefined ? [] : [one];
  };
  const top = topOf(c.req.query('$top'));
  const token = c.req.query('$skiptoken');
  let after = token === undefined ? undefined : uidOf(token);
  const found: { readonly uid: string; readonly shown: JsonObject }[] = [];
  while (found.length <= top) {
    const items = await read({ after, limit: slice });
    for (const item of items) {
      const shown = view(item);
      if (filter === undefined || matches(filter, shown)) found.push({ uid: item.uid, shown });
    }
    after = items.at(-1)?.uid;
    if (items.length < slice) break;
  }
  const page = found.slice(0, top);
  const last = page.at(-1);
  return valueAnswer(
    call,
    page.map(({ shown }) => shown),
    found.length > top && last !== undefined ? nextLink(call, last.uid) : undefined,
  );
}

export function valueAnswer(
  { c }: GraphCall,
  value: readonly JsonObject[] | readonly string[],
  next?: string,
): Response {
  return c.json({
    '@odata.context': `${c.var.call.origin}${graphBase}/$metadata`,
    ...(next === undefined ? {} : { '@odata.nextLink': next }),
    value,
  });
}

export function objectAnswer({ c }: GraphCall, object: JsonObject, status: 200 | 201 = 200): Response {
  return c.json({ '@odata.context': `${c.var.call.origin}${graphBase}/$metadata`, ...object }, status);
}

export function noContent({ c }: GraphCall): Response {
  return c.body(null, 204);
}

/** Throws `directoryObjectUnknown`. */
export function found<T>(value: T | undefined): T {
  if (value === undefined) throw new BerthError('directoryObjectUnknown');
  return value;
}

/** Microseconds; a time far away, such as 9999-12-31 for never, is the farthest that the database keeps: in the year 2255. */
export function microsOf(dateTime: string | null | undefined): number | undefined {
  if (typeof dateTime !== 'string') return undefined;
  return Math.min(Math.max(Date.parse(dateTime) * 1_000, 0), Number.MAX_SAFE_INTEGER);
}

function nextLink({ c }: GraphCall, lastUid: string): string {
  const url = new URL(c.req.path, c.var.call.origin);
  for (const name of ['$filter', '$top']) {
    const value = c.req.query(name);
    if (value !== undefined) url.searchParams.set(name, value);
  }
  url.searchParams.set('$skiptoken', objectIdOf(lastUid));
  return url.href;
}

function topOf(text: string | undefined): number {
  if (text === undefined) return defaultPage;
  const top = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (top < 1 || top > maxPage) throw new BerthError('filterInvalid', `$top is a number from 1 to ${maxPage}`);
  return top;
}

/** PostgreSQL keeps no text with it. */
function holdsNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0');
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some((entry) => entry.some(holdsNul));
}

function parse(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof StrictJsonError) throw new BerthError('directoryObjectInvalid', error.message);
    throw error;
  }
}
