import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';
import { attempt } from './delivery-attempt.ts';
import type { DeliveryPace } from './delivery-pace.ts';
import { type Delivery, listWaiting, noteDeliveries, trimDeliveries } from './delivery-store.ts';
import { findWebhook, holdWebhook } from './webhook-store.ts';
import { openTarget } from './webhook-target.ts';

export type ResendParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly sealer: Sealer;
  readonly outbound: Pick<Outbound, 'call'>;
  readonly pace: DeliveryPace;
};

const pageSize = 50;
/** What was sent is written down after so long: a crash repeats it at most. */
const unwrittenMs = 1_000;
const renewEveryMs = 10_000;

/**
 * Sends what waits outside the order of the journal, as a job: each once, so that a ping or dead letter that fails is (again) a dead
 * letter. A ping that comes meanwhile is next, however many dead letters wait.
 */
export async function resend(parts: ResendParts, webhookUid: string, job: JobRun): Promise<void> {
  const { database, clock } = parts;
  let renewedMs = clock.monotonicMs();
  while (true) {
    const page = await listWaiting(database.read, webhookUid, pageSize);
    if (page.length === 0) break;
    if (clock.monotonicMs() - renewedMs > renewEveryMs) {
      await job.renew();
      renewedMs = clock.monotonicMs();
    }
    if (!(await resendSome(parts, webhookUid, page, job.signal))) return;
  }
  await database.transaction(async (tx) => {
    for (const state of ['delivered', 'dead'] as const) await trimDeliveries(tx, webhookUid, state);
  });
}

/** To the first that fails, for a second at most; false when the webhook is gone. */
async function resendSome(
  parts: ResendParts,
  webhookUid: string,
  page: readonly Delivery[],
  signal: AbortSignal,
): Promise<boolean> {
  const { database, clock, pace } = parts;
  const beganMs = clock.monotonicMs();
  const tried: Delivery[] = [];
  try {
    for (const delivery of page) {
      await pace.turn(signal);
      const row = await findWebhook(database.read, webhookUid);
      if (row === undefined) return false;
      const target = openTarget(parts, row.uid, row.sealed_target);
      const { eventId: id, payload } = delivery;
      const { isDelivered, outcome } = await attempt(parts, target, { id, payload }, signal);
      const state = isDelivered ? 'delivered' : 'dead';
      tried.push({ ...delivery, state, attempts: 1, triedAtMicros: clock.nowMicros(), outcome });
      if (!isDelivered || clock.monotonicMs() - beganMs > unwrittenMs) return true;
    }
    return true;
  } finally {
    await database.transaction(async (tx) => {
      if (await holdWebhook(database.kind, tx, webhookUid)) await noteDeliveries(tx, tried);
    });
  }
}
