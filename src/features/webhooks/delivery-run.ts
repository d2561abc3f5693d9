import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { lockedForShare } from '../../platform/database/locks.ts';
import type { Ids } from '../../platform/ids.ts';
import type { JobRun, Jobs } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';
import { type AttemptResult, attempt } from './delivery-attempt.ts';
import { type Batching, groupsOf } from './delivery-groups.ts';
import type { DeliveryPace } from './delivery-pace.ts';
import { type Delivery, noteDeliveries, trimDeliveries } from './delivery-store.ts';
import type { Notification } from './notification.ts';
import { isGivenUp, retryDelayMs } from './retry-plan.ts';
import type { WebhookTarget } from './webhook.ts';
import type { Message } from './webhook-message.ts';
import {
  cursorsBehind,
  deliverJob,
  findWebhook,
  holdWebhook,
  isUnchanged,
  moveCursor,
  noteFailures,
  type WebhookCursor,
  type WebhookRow,
} from './webhook-store.ts';

/** What a webhook wants to hear of, and how it is told. */
export type Receiver = Batching & {
  readonly target: WebhookTarget;
  readonly messageOf: (notifications: readonly Notification[]) => Message;
};

export type DeliveryRunParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly outbound: Pick<Outbound, 'call'>;
  readonly pace: DeliveryPace;
  /** Undefined when the registry of the webhook is gone. */
  readonly receiverOf: (row: WebhookRow) => Promise<Receiver | undefined>;
};

const pageEvents = 100;
/** Of a receiver that took nothing the last time: it will most likely not take more than one now. */
const firstPageEvents = 10;
/** What was sent is written down after so many deliveries or so long: a crash repeats these at most. */
const unwrittenDeliveries = 50;
const unwrittenMs = 3_000;
/** What is kept of deliveries is cut back after so many of them, and at the end of a run. */
const untrimmedDeliveries = 500;
const renewEveryMs = 10_000;
/** Then others have a turn. */
const turnMs = 30_000;

/**
 * Brings one webhook what it has not been told yet, in the order of the journal, as a job. It stops at the first request
 * that fails and is tried again later. What is not taken within a day becomes a dead letter, and the next one has its turn;
 * what was a day old before its turn came has an hour more, up to two days.
 */
export async function deliver(parts: DeliveryRunParts, webhookUid: string, job: JobRun): Promise<void> {
  const { database, clock } = parts;
  const row = await findWebhook(database.read, webhookUid);
  if (row === undefined || row.is_enabled === 0) return;
  if (row.retry_at > clock.nowMicros()) return await deliverAtRetry(parts, webhookUid);
  const receiver = await parts.receiverOf(row);
  if (receiver === undefined) return;
  const run = new DeliveryRun(parts, row, receiver, job);
  const end = await followAll(run, await cursorsBehind(database.read, webhookUid, row.registry_uid));
  await run.trim(1);
  if (end === 'turnOver') await database.transaction((tx) => addRun(parts, tx, webhookUid, clock.nowMicros()));
}

async function followAll(
  run: DeliveryRun,
  cursors: readonly WebhookCursor[],
): Promise<'told' | 'failing' | 'turnOver'> {
  for (const cursor of cursors) {
    const end = await run.follow(cursor);
    if (end !== 'told') return end;
  }
  return 'told';
}

/** Whoever changes the webhook meanwhile is seen here, or finds this run and hastens it. */
async function deliverAtRetry(parts: DeliveryRunParts, webhookUid: string): Promise<void> {
  const { database } = parts;
  await database.transaction(async (tx) => {
    const query = tx.selectFrom('webhooks').where('uid', '=', webhookUid).select('retry_at');
    const row = await lockedForShare(database.kind, query).executeTakeFirst();
    if (row !== undefined) await addRun(parts, tx, webhookUid, row.retry_at);
  });
}

async function addRun(
  { jobs }: Pick<DeliveryRunParts, 'jobs'>,
  tx: Transaction,
  webhookUid: string,
  runAtMicros: number,
) {
  await jobs.add(tx, { kind: deliverJob, key: webhookUid, payload: { webhookUid }, runAtMicros });
}

class DeliveryRun {
  readonly #parts: DeliveryRunParts;
  readonly #row: WebhookRow;
  readonly #uid: string;
  readonly #receiver: Receiver;
  readonly #job: JobRun;
  readonly #beganMs: number;
  #failures: number;
  /** Of the first of them; 0 where that is not known. */
  #failingSinceMicros: number;
  #hasFailed: boolean;
  #renewedMs: number;
  #writtenMs: number;
  #unwritten: Delivery[] = [];
  readonly #untrimmed = { delivered: 0, dead: 0 };

  constructor(parts: DeliveryRunParts, row: WebhookRow, receiver: Receiver, job: JobRun) {
    this.#parts = parts;
    this.#row = row;
    this.#uid = row.uid;
    this.#receiver = receiver;
    this.#job = job;
    this.#failures = row.failures;
    this.#failingSinceMicros = row.failing_since;
    this.#hasFailed = row.failures > 0;
    this.#beganMs = parts.clock.monotonicMs();
    this.#renewedMs = this.#beganMs;
    this.#writtenMs = this.#beganMs;
  }

  /** To the end of one stream, the first failure, or the end of the turn. */
  async follow(from: WebhookCursor): Promise<'told' | 'failing' | 'turnOver'> {
    let [written, at] = [from, from];
    const write = async () => {
      const isOurs = await this.#write(written, at);
      written = at;
      return isOurs;
    };
    let limit = this.#failures > 0 ? firstPageEvents : pageEvents;
    while (true) {
      const events = await this.#parts.journal.after(at, limit);
      limit = pageEvents;
      if (events.length === 0) return await this.#endOf(at);
      for (const group of groupsOf(events, at, this.#receiver)) {
        const sent = group.notifications.length === 0 ? 'delivered' : await this.#send(group.notifications, write);
        if (sent === 'failing') return 'failing';
        if (sent === 'changed') {
          await write();
          return 'turnOver';
        }
        at = group.end;
        if (this.#isFull() && !(await write())) return 'turnOver';
      }
      if (!(await write())) return 'turnOver';
      await this.trim(untrimmedDeliveries);
      if (this.#nowMs() - this.#beganMs > turnMs) return 'turnOver';
    }
  }

  /** Sends one request, again and again only over runs: a failure ends this one, unless the event is given up. */
  async #send(
    notifications: readonly Notification[],
    write: () => Promise<boolean>,
  ): Promise<'delivered' | 'dead' | 'failing' | 'changed'> {
    const { clock, pace } = this.#parts;
    await this.#renew();
    await pace.turn(this.#job.signal);
    // Switched off or sent elsewhere: that holds from the next request on.
    if (!(await isUnchanged(this.#parts.database.read, this.#row))) return 'changed';
    const payload = this.#receiver.messageOf(notifications);
    const id = idOf(notifications);
    const result = await attempt(this.#parts, this.#receiver.target, { id, payload }, this.#job.signal).catch(
      async (stopping: unknown) => {
        // What was sent need not be sent again after the restart.
        await write();
        throw stopping;
      },
    );
    const occurredAtMicros = Math.min(...notifications.map((each) => each.occurredAtMicros));
    if (!result.isDelivered && this.#failures === 0) this.#failingSinceMicros = clock.nowMicros();
    const standing = { occurredAtMicros, failingSinceMicros: this.#failingSinceMicros };
    const refused = isGivenUp(standing, clock.nowMicros()) ? 'dead' : 'failing';
    const state = result.isDelivered ? 'delivered' : refused;
    this.#unwritten.push({
      webhookUid: this.#uid,
      eventId: id,
      state,
      occurredAtMicros,
      attempts: 1,
      triedAtMicros: clock.nowMicros(),
      payload,
      outcome: result.outcome,
    });
    this.#failures = result.isDelivered ? 0 : this.#failures + 1;
    if (state === 'failing') {
      await write();
      await this.#retryLater(result);
    }
    return state;
  }

  async #retryLater({ retryAfterMs }: AttemptResult): Promise<void> {
    const { clock, database, ids, jobs } = this.#parts;
    const share = (ids.bytes(1)[0] ?? 0) / 255;
    const retryAtMicros = clock.nowMicros() + retryDelayMs(this.#failures, share, retryAfterMs) * 1_000;
    await database.transaction(async (tx) => {
      const sinceMicros = this.#failingSinceMicros;
      const isNoted = await noteFailures(tx, this.#row, { failures: this.#failures, retryAtMicros, sinceMicros });
      // One that was changed meanwhile is tried at once.
      await addRun({ jobs }, tx, this.#uid, isNoted ? retryAtMicros : clock.nowMicros());
    });
  }

  #isFull(): boolean {
    return this.#unwritten.length >= unwrittenDeliveries || this.#nowMs() - this.#writtenMs > unwrittenMs;
  }

  /** Writes down what was sent and how far that is; false when somebody else is at it too. */
  async #write(from: WebhookCursor, to: WebhookCursor): Promise<boolean> {
    const deliveries = this.#unwritten;
    const hasRecovered = this.#hasFailed && this.#failures === 0;
    const { database } = this.#parts;
    const isOurs = await database.transaction(async (tx) => {
      if (!(await holdWebhook(database.kind, tx, this.#uid))) return false;
      if (!isSame(from, to) && !(await moveCursor(tx, this.#uid, from, to))) return false;
      await noteDeliveries(tx, deliveries);
      if (hasRecovered) await noteFailures(tx, this.#row, { failures: 0, retryAtMicros: 0, sinceMicros: 0 });
      return true;
    });
    for (const { state } of deliveries) if (state === 'delivered' || state === 'dead') this.#untrimmed[state] += 1;
    this.#unwritten = [];
    this.#writtenMs = this.#nowMs();
    if (hasRecovered) this.#hasFailed = false;
    return isOurs;
  }

  /** Forgets what is too old of the deliveries that were written, where there are so many new ones. */
  async trim(atLeast: number): Promise<void> {
    for (const state of ['delivered', 'dead'] as const)
      if (this.#untrimmed[state] >= atLeast) {
        await this.#parts.database.transaction((tx) => trimDeliveries(tx, this.#uid, state), { mayBeLost: true });
        this.#untrimmed[state] = 0;
      }
  }

  async #renew(): Promise<void> {
    if (this.#nowMs() - this.#renewedMs < renewEveryMs) return;
    await this.#job.renew();
    this.#renewedMs = this.#nowMs();
  }

  /** The stream may have gone on in another incarnation, whose events start anew. */
  async #endOf(at: WebhookCursor): Promise<'told' | 'turnOver'> {
    const start = await this.#parts.journal.start(at.stream);
    if (start.incarnation === at.incarnation) return 'told';
    await this.#write(at, { ...start, part: 0 });
    return 'turnOver';
  }

  #nowMs(): number {
    return this.#parts.clock.monotonicMs();
  }
}

/** Of a batch, that of its first. */
function idOf([first]: readonly Notification[]): string {
  if (first === undefined) throw new TypeError('a request carries something');
  return first.id;
}

function isSame(a: WebhookCursor, b: WebhookCursor): boolean {
  return a.incarnation === b.incarnation && a.seq === b.seq && a.part === b.part;
}
