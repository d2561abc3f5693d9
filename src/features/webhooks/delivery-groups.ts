import type { JournalEvent } from '../../platform/journal/journal.ts';
import { type Notification, notificationsOf } from './notification.ts';
import type { WebhookCursor } from './webhook-store.ts';

/** What of the events goes to a receiver, and how many things in one request. */
export type Batching = {
  readonly wants: (notification: Notification) => boolean;
  /** Notifications that go into one request at most, */
  readonly batchSize: number;
  /** and bytes, as `sizeOf` counts them, unless one alone has more. */
  readonly batchBytes: number;
  readonly sizeOf: (notification: Notification) => number;
};

/** Notifications that belong into one request, with where the webhook stands after them. */
export type Group = { readonly notifications: readonly Notification[]; readonly end: WebhookCursor };

/** What a page of events says to a receiver, in requests; those it does not want move it on all the same. */
export function* groupsOf(events: readonly JournalEvent[], at: WebhookCursor, batching: Batching): Generator<Group> {
  let [waiting, bytes, end]: [Notification[], number, WebhookCursor] = [[], 0, at];
  for (const event of events) {
    const { stream, incarnation, seq } = event;
    for (const [index, notification] of notificationsOf(event).entries()) {
      if (seq === at.seq + 1 && index < at.part) continue;
      const size = batching.wants(notification) ? sizeIn(batching, notification) : undefined;
      if (size !== undefined && waiting.length > 0 && bytes + size > batching.batchBytes) {
        yield { notifications: waiting, end };
        [waiting, bytes] = [[], 0];
      }
      if (size !== undefined) waiting.push(notification);
      bytes += size ?? 0;
      end = { stream, incarnation, seq: seq - 1, part: index + 1 };
      if (waiting.length < batching.batchSize) continue;
      yield { notifications: waiting, end };
      [waiting, bytes] = [[], 0];
    }
    end = { stream, incarnation, seq, part: 0 };
  }
  yield { notifications: waiting, end };
}

/** What is alone in its request has any size. */
function sizeIn({ batchSize, sizeOf }: Batching, notification: Notification): number {
  return batchSize === 1 ? 0 : sizeOf(notification);
}
