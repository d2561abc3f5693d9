import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import { Bell } from '../../platform/jobs/bell.ts';
import type { Journal, JournalEvent } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import { isVisible } from '../access/decision.ts';
import type { Directory } from '../registries/directory.ts';
import type { LiveCursor } from './live-cursor.ts';
import { originOf } from './message-origin.ts';
import { type Notification, notificationsOf } from './notification.ts';
import { cloudEvent } from './webhook-message.ts';
import { streamsOf } from './webhook-store.ts';

export type LiveParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly directory: Pick<Directory, 'byUid' | 'refresh' | 'epoch'>;
};

export type LiveRequest = {
  readonly registryUid: string;
  readonly authority: Authority;
  /** Undefined: from now on. `start`: from the first event there is. */
  readonly from: LiveCursor | 'start' | undefined;
  readonly signal: AbortSignal;
};

/** One thing that happened, or (`events` empty) a sign that the connection lives. */
export type LivePiece = { readonly cursor: LiveCursor; readonly events: readonly object[] };

const pageEvents = 100;
const pollMs = 1_000;
/** Between two pages of one who catches up: others have a turn. */
const behindMs = 10;
const heartbeatMs = 15_000;

/**
 * What happens in a registry, as it happens, in the form of CloudEvents: of repositories that the caller may read, and for as
 * long as they may. Throws `registryUnknown`, `unauthorized` or `denied` when that ends.
 */
export async function* liveEvents(parts: LiveParts, request: LiveRequest): AsyncGenerator<LivePiece, void, undefined> {
  const { registryUid, authority, signal } = request;
  const { clock, database, directory, journal } = parts;
  const bell = new Bell(clock, signal);
  const unsubscribe = journal.onAppend(() => bell.ring());
  const origin = await originOf(parts, registryUid);
  const cursor = new Map(await startOf(parts, request));
  let saidMs = clock.monotonicMs();
  try {
    yield { cursor, events: [] };
    while (origin !== undefined && !signal.aborted) {
      let isBehind = false;
      for (const head of await streamsOf(database.read, registryUid)) {
        const at = cursor.get(head.stream);
        // Another incarnation, and a stream that began since, are told from their first event.
        const place = at?.incarnation === head.incarnation ? at : { ...head, seq: 0 };
        const page = head.seq > place.seq ? await journal.after(place, pageEvents) : [];
        if (page.length === pageEvents) isBehind = true;
        if (page.length > 0) await confirm(directory, authority);
        const showing = shownTo(authority);
        for (const event of page) {
          cursor.set(head.stream, event);
          const events = showing(event).map((each) => cloudEvent(origin, each));
          if (events.length > 0) yield { cursor, events };
        }
        if (page.length > 0) saidMs = clock.monotonicMs();
      }
      if (isBehind) {
        await clock.sleep(behindMs, signal).catch(() => {
          // Gone: the loop sees it.
        });
        continue;
      }
      await bell.wait(pollMs);
      if (clock.monotonicMs() - saidMs < heartbeatMs) continue;
      await confirm(directory, authority);
      saidMs = clock.monotonicMs();
      yield { cursor, events: [] };
    }
  } finally {
    unsubscribe();
  }
}

async function startOf({ database }: LiveParts, { registryUid, from }: LiveRequest): Promise<LiveCursor> {
  if (from === 'start') return new Map();
  if (from !== undefined) return from;
  return new Map((await streamsOf(database.read, registryUid)).map((head) => [head.stream, head]));
}

/** A right that was taken away ends the stream with the next event. */
async function confirm(directory: LiveParts['directory'], authority: Authority): Promise<void> {
  await directory.refresh();
  await authority.confirm(directory.epoch());
}

/**
 * Of what the caller may both see and pull; who did it, and from where, is for those who may read the audit. That every push
 * is also a quarantine event is a matter of webhooks.
 */
function shownTo(authority: Authority): (event: JournalEvent) => Notification[] {
  const needed = [authority.visible('metadata_read'), authority.visible('pull')];
  const shown = authority.principal.isOwner ? {} : { request: undefined };
  return (event) =>
    notificationsOf(event)
      .filter(
        ({ action, target }) =>
          action !== 'quarantine' && needed.every((visible) => isVisible(visible, target.repository)),
      )
      .map((notification) => ({ ...notification, ...shown }));
}
