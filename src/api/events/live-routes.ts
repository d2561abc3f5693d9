import { type Context, Hono } from 'hono';
import { stream } from 'hono/streaming';
import { BerthError } from '../../core/errors.ts';
import type { Authorize } from '../../features/access/access.ts';
import { liveCursorText, parseLiveCursor } from '../../features/webhooks/live-cursor.ts';
import { type LiveParts, type LivePiece, type LiveRequest, liveEvents } from '../../features/webhooks/live-events.ts';
import type { Log } from '../../platform/log.ts';
import type { Env } from '../middleware/env.ts';
import { Followers } from './followers.ts';

export type LiveRouteParts = LiveParts & {
  readonly authorize: Authorize;
  readonly log: Log;
  readonly isStopping: () => boolean;
};

/** What following needs; what is shown goes by what may be read. */
export const eventsRoute = { method: 'GET', resource: 'events', action: 'catalogList' } as const;

const stopLookMs = 500;
/** A follower that reads has then read what it was sent. */
const lastReadMs = 2_000;

/**
 * `GET /events`: what happens in the registry of the host, as server-sent events. The browser's EventSource goes on by
 * itself from the last event it saw. Source: HTML standard, "Server-sent events".
 */
export function liveRoutes(parts: LiveRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  const followers = new Followers();
  routes.get('/events', async (c) => {
    const { registry, address, correlationId, userAgent } = c.var.call;
    const authority = await parts.authorize({
      registry,
      authorization: c.req.header('authorization'),
      action: eventsRoute.action,
      circumstances: { address, surface: 'oci', correlationId, userAgent },
    });
    const from = fromOf(c, registry.uid);
    c.header('Content-Type', 'text/event-stream');
    c.header('Cache-Control', 'no-store');
    // Proxies that gather answers would hold events back.
    c.header('X-Accel-Buffering', 'no');
    // Nobody would read what is streamed, nor end it.
    if (c.req.method === 'HEAD') return c.body(null);
    const leave = followers.enter(authority.principal, address);
    return stream(c, async (out) => {
      const [gone, ended] = [new AbortController(), new AbortController()];
      out.onAbort(() => gone.abort());
      c.env?.outgoing?.once('close', () => out.abort());
      const stopping = watchStop(parts, { gone, ended: ended.signal, cut: () => c.env?.outgoing?.destroy() });
      try {
        await follow(parts, { registryUid: registry.uid, authority, from, signal: gone.signal }, async (text) => {
          await out.write(text);
        });
      } finally {
        gone.abort();
        ended.abort();
        leave();
        await stopping;
      }
    });
  });
  return routes;
}

async function follow(
  parts: LiveRouteParts,
  request: LiveRequest,
  write: (text: string) => Promise<void>,
): Promise<void> {
  try {
    for await (const piece of liveEvents(parts, request)) await write(textOf(piece));
  } catch (error) {
    // A right that has ended: so does the stream, and the next request is told why.
    if (error instanceof BerthError) return;
    parts.log.error('a stream of events failed', { error });
  }
}

type Following = {
  /** Aborted: nothing more is told. */
  readonly gone: AbortController;
  /** Aborted when all was taken that was told. */
  readonly ended: AbortSignal;
  readonly cut: () => void;
};

/** A server that stops does not wait for those who follow it, and cuts those who do not read what they were sent. */
async function watchStop({ clock, isStopping }: LiveRouteParts, { gone, ended, cut }: Following): Promise<void> {
  while (!gone.signal.aborted && !isStopping())
    await clock.sleep(stopLookMs, gone.signal).catch(() => {
      // Gone: the loop sees it.
    });
  if (gone.signal.aborted) return;
  gone.abort();
  await clock.sleep(lastReadMs, ended).then(cut, () => {
    // All was read.
  });
}

/** All but the last of what one change says have no id: whoever reconnects between them gets all of them again. */
function textOf({ cursor, events }: LivePiece): string {
  if (events.length === 0) return `id: ${liveCursorText(cursor)}\n: still here\n\n`;
  return events
    .map((event, index) => {
      const id = index === events.length - 1 ? `id: ${liveCursorText(cursor)}\n` : '';
      return `${id}data: ${JSON.stringify(event)}\n\n`;
    })
    .join('');
}

/** `Last-Event-ID` of whoever comes again, else `?after=`: an id, or `start`. Throws `requestInvalid`. */
function fromOf(c: Context<Env>, registryUid: string): LiveRequest['from'] {
  const text = c.req.header('last-event-id') ?? c.req.query('after');
  if (text === undefined || text === '') return undefined;
  if (text === 'start') return 'start';
  const cursor = text.length > 10_000 ? undefined : parseLiveCursor(text, registryUid);
  if (cursor === undefined)
    throw new BerthError('requestInvalid', [{ field: 'after', message: 'it is not an id that this server gave' }]);
  return cursor;
}
