import { Hono } from 'hono';
import { stream } from 'hono/streaming';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import { parsePurgeAge } from '../../features/retention/purge-age.ts';
import { parsePurgeFilters } from '../../features/retention/purge-filter.ts';
import { type PurgeParts, type PurgeRequest, purge } from '../../features/retention/purges.ts';
import type { PurgeItem } from '../../features/retention/take-selection.ts';
import type { Log } from '../../platform/log.ts';
import { type PurgeLine, purgeRequestSchema } from '../../wire/admin/purge-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf, registryNamed } from './admin-call.ts';

export type PurgeRouteParts = AdminCallParts & PurgeParts & { readonly log: Log };

/** Purges, told line by line while they go on; a client that leaves ends its purge. */
export function purgeRoutes(parts: PurgeRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.post(
    '/admin/registries/:name/purge',
    asOwner(parts, async (c, _by, authority) => {
      const { uid: registryUid } = registryNamed(parts, c);
      const stopped = new AbortController();
      const request = requestOf(registryUid, await bodyOf(parts, c, purgeRequestSchema), stopped.signal);
      const items = purge(parts, authority, request);
      c.header('Content-Type', 'application/x-ndjson');
      return stream(c, async (out) => {
        out.onAbort(() => stopped.abort());
        const write = async (line: PurgeLine) => {
          await out.write(`${JSON.stringify(line)}\n`);
        };
        await write(await run(parts, items, write));
      });
    }),
  );
  return routes;
}

/** Answers the last line. */
async function run(
  { log }: PurgeRouteParts,
  items: AsyncGenerator<PurgeItem>,
  write: (line: PurgeLine) => Promise<void>,
): Promise<PurgeLine> {
  let tags = 0;
  let manifests = 0;
  let freedBytes = 0;
  try {
    for await (const item of items) {
      const isTaken = item.outcome === 'deleted' || item.outcome === 'wouldDelete';
      if (isTaken && item.tag === undefined) manifests += 1;
      if (isTaken && item.tag !== undefined) tags += 1;
      freedBytes += item.freedBytes;
      const { rule: _, ...told } = item;
      await write({ ...told, tag: item.tag ?? null, why: item.why ?? null });
    }
    return { tags, manifests, freedBytes };
  } catch (error) {
    if (error instanceof BerthError) return { error: error.message };
    log.error('a purge failed', { error });
    return { error: 'the purge stopped at a fault of the server, which is in its log; what was listed is done' };
  }
}

function requestOf(registryUid: string, body: z.infer<typeof purgeRequestSchema>, signal: AbortSignal): PurgeRequest {
  const { filters, ago, keep, untagged, includeLocked, dryRun } = body;
  if (ago === undefined && untagged !== 'only')
    throw new BerthError('purgeInvalid', 'say how old what leaves has to be: --ago 30d');
  return {
    registryUid,
    filters: parsePurgeFilters(filters),
    ageMs: ago === undefined ? 0 : parsePurgeAge(ago),
    keep,
    untagged,
    includesLocked: includeLocked,
    isDryRun: dryRun,
    signal,
  };
}
