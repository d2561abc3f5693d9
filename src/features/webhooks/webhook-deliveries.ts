import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import { type Delivery, listDeliveries, noteDeliveries, reviveDead } from './delivery-store.ts';
import { timestampOf } from './webhook-message.ts';

export type WebhookDeliveriesParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly jobs: Pick<Jobs, 'add'>;
};

/** Sends what waits outside the order of the journal. */
export const resendJob = 'webhooks.resend';

const shownDeliveries = 100;

/** What owners of a webhook do with its deliveries; the sending itself is background work. */
export class WebhookDeliveries {
  readonly #parts: WebhookDeliveriesParts;

  constructor(parts: WebhookDeliveriesParts) {
    this.#parts = parts;
  }

  /** Has a delivery of no meaning sent at once, whatever else waits. Resolves to its event id. */
  async ping(webhookUid: string): Promise<string> {
    const { database, clock, ids } = this.#parts;
    const nowMicros = clock.nowMicros();
    const eventId = ids.guid();
    const body = JSON.stringify({ id: eventId, timestamp: timestampOf(nowMicros), action: 'ping' });
    const delivery: Delivery = {
      webhookUid,
      eventId,
      state: 'waiting',
      occurredAtMicros: nowMicros,
      attempts: 0,
      triedAtMicros: 0,
      payload: { contentType: 'application/json', headers: {}, body },
      outcome: undefined,
    };
    await database.transaction(async (tx) => {
      await noteDeliveries(tx, [delivery]);
      await this.#parts.jobs.add(tx, { kind: resendJob, key: webhookUid, payload: { webhookUid } });
    });
    return eventId;
  }

  /** Has dead letters sent again: one, or all. Resolves to how many. */
  async replay(webhookUid: string, eventId: string | undefined): Promise<number> {
    return await this.#parts.database.transaction(async (tx) => {
      const count = await reviveDead(tx, webhookUid, eventId);
      await this.#parts.jobs.add(tx, { kind: resendJob, key: webhookUid, payload: { webhookUid } });
      return count;
    });
  }

  /** The last deliveries, newest first. */
  async list(webhookUid: string): Promise<Delivery[]> {
    return await listDeliveries(this.#parts.database.read, webhookUid, shownDeliveries);
  }
}
