import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { JobKind, JobRun, Jobs } from '../../platform/jobs/jobs.ts';
import type { Journal, JournalEvent } from '../../platform/journal/journal.ts';
import { runConsumer } from '../../platform/journal/run-consumer.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Log } from '../../platform/log.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';
import { parseJsonObject } from '../../wire/arm/json.ts';
import type { Directory } from '../registries/directory.ts';
import { DeliveryPace } from './delivery-pace.ts';
import { type ResendParts, resend } from './delivery-resend.ts';
import { type DeliveryRunParts, deliver, type Receiver } from './delivery-run.ts';
import { isSubscribed, parseSubscriptionFilter } from './event-subscription.ts';
import { originOf } from './message-origin.ts';
import { type Notification, notificationsOf } from './notification.ts';
import { resendJob } from './webhook-deliveries.ts';
import { messageOf } from './webhook-message.ts';
import { filterOf } from './webhook-rules.ts';
import { isInScope, parseScope } from './webhook-scope.ts';
import {
  deliverJob,
  listEnabled,
  passOver,
  planDelivery,
  plannedDeliveries,
  type WebhookRow,
} from './webhook-store.ts';
import { openTarget } from './webhook-target.ts';

export type WebhooksParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly sealer: Sealer;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly outbound: Pick<Outbound, 'call'>;
  readonly directory: Pick<Directory, 'byUid'>;
  /** Requests that this process has answered so far: deliveries give way to them. */
  readonly answered: () => number;
};

const consumerName = 'webhooks';
const oneByOne = { batchSize: 1, batchBytes: 0 };
const jobPayload = z.object({ webhookUid: z.string() });
/** Longer than one attempt takes; after a crash deliveries go on when it is over. */
const leaseMs = 30_000;
/** A receiver that fails is no failed job: these count faults of our own. */
const maxAttempts = 100_000;

/** Tells receivers what happens in registries: at least once, in order for each of them, none waiting for another. */
export class Webhooks {
  readonly #parts: WebhooksParts;
  readonly #run: DeliveryRunParts & ResendParts;

  constructor(parts: WebhooksParts) {
    this.#parts = parts;
    this.#run = { ...parts, pace: new DeliveryPace(parts), receiverOf: (row) => this.#receiverOf(row) };
  }

  /** The sending; each run holds its place for as long as its receiver takes, so they want a runner of their own. */
  jobKinds(): JobKind[] {
    const run = (work: (webhookUid: string, job: JobRun) => Promise<void>) => async (job: JobRun) =>
      await work(jobPayload.parse(job.payload).webhookUid, job);
    return [
      { kind: deliverJob, run: run((uid, job) => deliver(this.#run, uid, job)), leaseMs, maxAttempts },
      { kind: resendJob, run: run((uid, job) => resend(this.#run, uid, job)), leaseMs, maxAttempts },
    ];
  }

  /** Follows the journals of all registries until the signal is aborted, and has the webhooks that want an event delivered. */
  async follow(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const { pace } = this.#run;
    await runConsumer({
      ...this.#parts,
      name: consumerName,
      follows: (stream) => stream.startsWith('registry/'),
      handle: async (events) => {
        await this.#wake(events);
        // What happens meanwhile is told together.
        await clock.sleep(pace.gatherMs(), signal).catch(() => {
          // Stopping: the events are handled.
        });
      },
      signal,
    });
  }

  async #wake(events: readonly JournalEvent[]): Promise<void> {
    const [first, last] = [events[0], events.at(-1)];
    if (first === undefined || last === undefined) return;
    const { stream, incarnation } = first;
    const [, registryUid = ''] = stream.split('/');
    const { database, jobs } = this.#parts;
    const rows = await listEnabled(database.read, registryUid);
    if (rows.length === 0) return;
    const notifications = events.flatMap(notificationsOf);
    const wanting = rows.filter((row) => notifications.some(wantedBy(row))).map((row) => row.uid);
    const others = rows.map((row) => row.uid).filter((uid) => !wanting.includes(uid));
    // A job that waits now begins after these events were written: it brings them too.
    const isPlanned = new Set(await plannedDeliveries(database.read, wanting));
    const unplanned = wanting.filter((uid) => !isPlanned.has(uid));
    if (unplanned.length > 0 || others.length > 0)
      await database.transaction(async (tx) => {
        await passOver(tx, { stream, incarnation, first: first.seq, last: last.seq }, others);
        for (const webhookUid of unplanned) await planDelivery(tx, jobs, webhookUid);
      });
  }

  async #receiverOf(row: WebhookRow): Promise<Receiver | undefined> {
    const origin = await originOf(this.#parts, row.registry_uid);
    if (origin === undefined) return undefined;
    const { batchSize, batchBytes } = row.form === 'acr' ? oneByOne : parseSubscriptionFilter(row.filter);
    return {
      target: openTarget(this.#parts, row.uid, row.sealed_target),
      wants: wantedBy(row),
      messageOf: (notifications) => messageOf(row.form, origin, notifications),
      batchSize,
      batchBytes,
      sizeOf: (notification) => Buffer.byteLength(messageOf(row.form, origin, [notification]).body),
    };
  }
}

function wantedBy(row: WebhookRow): (notification: Notification) => boolean {
  if (row.form !== 'acr') {
    const filter = parseSubscriptionFilter(row.filter);
    return (notification) => isSubscribed(filter, notification);
  }
  const { scope, actions } = filterOf(parseJsonObject(row.filter));
  const parsed = parseScope(scope);
  return ({ action, target, scopeTags }) =>
    actions.some((each) => each === action) && parsed !== undefined && isInScope(parsed, target.repository, scopeTags);
}
