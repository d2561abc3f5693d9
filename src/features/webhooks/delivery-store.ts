import { z } from 'zod';
import type { Queries, Transaction } from '../../platform/database/database.ts';

/** Deliveries of one webhook that are kept: for its log, and to be sent again. */
const kept = { delivered: 1_000, dead: 10_000 } as const;

const payloadSchema = z.object({
  contentType: z.string(),
  headers: z.record(z.string(), z.string()),
  body: z.string(),
});
/** A request as it is sent, without the receiver's own headers. */
export type Payload = z.infer<typeof payloadSchema>;

const outcomeSchema = z.object({
  requestUri: z.string(),
  requestHeaders: z.record(z.string(), z.string()),
  /** Absent when no answer came. */
  status: z.int().optional(),
  responseHeaders: z.record(z.string(), z.string()).optional(),
  /** The beginning of it. */
  responseBody: z.string().optional(),
  /** Why no answer came, or the answer does not count. */
  fault: z.string().optional(),
});
/** How the last attempt went. */
export type Outcome = z.infer<typeof outcomeSchema>;

export type Delivery = {
  readonly webhookUid: string;
  readonly eventId: string;
  readonly state: 'waiting' | 'failing' | 'delivered' | 'dead';
  readonly occurredAtMicros: number;
  readonly attempts: number;
  /** 0 before the first attempt. */
  readonly triedAtMicros: number;
  readonly payload: Payload;
  /** Undefined before the first attempt. */
  readonly outcome: Outcome | undefined;
};

/** Writes deliveries as they stand; the attempts of one that was tried before are added up. */
export async function noteDeliveries(tx: Transaction, deliveries: readonly Delivery[]): Promise<void> {
  if (deliveries.length === 0) return;
  await tx
    .insertInto('webhook_deliveries')
    .values(deliveries.map(rowOf))
    .onConflict((conflict) =>
      conflict.columns(['webhook_uid', 'event_id']).doUpdateSet((at) => ({
        state: at.ref('excluded.state'),
        tried_at: at.ref('excluded.tried_at'),
        payload: at.ref('excluded.payload'),
        outcome: at.ref('excluded.outcome'),
        attempts: at('webhook_deliveries.attempts', '+', at.ref('excluded.attempts')),
      })),
    )
    .execute();
}

/** Newest first. One query for each state: only so are they read in the order of their index. */
export async function listDeliveries(queries: Queries, webhookUid: string, limit: number): Promise<Delivery[]> {
  const ofStates = await Promise.all(
    (['waiting', 'failing', 'delivered', 'dead'] as const).map((state) =>
      queries
        .selectFrom('webhook_deliveries')
        .selectAll()
        .where('webhook_uid', '=', webhookUid)
        .where('state', '=', state)
        .orderBy('tried_at', 'desc')
        .limit(limit)
        .execute(),
    ),
  );
  const shownAt = ({ tried_at, occurred_at }: Row) => (tried_at === 0 ? occurred_at : tried_at);
  return ofStates
    .flat()
    .sort((a, b) => shownAt(b) - shownAt(a))
    .slice(0, limit)
    .map(deliveryOf);
}

/** Those to be sent outside the order: pings, which were never tried, then dead letters as they died. */
export async function listWaiting(queries: Queries, webhookUid: string, limit: number): Promise<Delivery[]> {
  const rows = await queries
    .selectFrom('webhook_deliveries')
    .selectAll()
    .where('webhook_uid', '=', webhookUid)
    .where('state', '=', 'waiting')
    .orderBy('tried_at')
    .limit(limit)
    .execute();
  return rows.map(deliveryOf);
}

/** Has dead letters sent again: one, or all of a webhook. Resolves to how many there were. */
export async function reviveDead(tx: Transaction, webhookUid: string, eventId: string | undefined): Promise<number> {
  let update = tx
    .updateTable('webhook_deliveries')
    .set({ state: 'waiting' })
    .where('webhook_uid', '=', webhookUid)
    .where('state', '=', 'dead');
  if (eventId !== undefined) update = update.where('event_id', '=', eventId);
  return Number((await update.executeTakeFirst()).numUpdatedRows);
}

/** Forgets all but the newest of what was delivered, and of what was given up. */
export async function trimDeliveries(tx: Transaction, webhookUid: string, state: keyof typeof kept): Promise<void> {
  const ofState = { webhook_uid: webhookUid, state };
  const last = await tx
    .selectFrom('webhook_deliveries')
    .select('tried_at')
    .where((at) => at.and(ofState))
    .orderBy('tried_at', 'desc')
    .offset(kept[state])
    .limit(1)
    .executeTakeFirst();
  if (last === undefined) return;
  await tx
    .deleteFrom('webhook_deliveries')
    .where((at) => at.and(ofState))
    .where('tried_at', '<=', last.tried_at)
    .execute();
}

function rowOf(delivery: Delivery) {
  return {
    webhook_uid: delivery.webhookUid,
    event_id: delivery.eventId,
    state: delivery.state,
    occurred_at: delivery.occurredAtMicros,
    attempts: delivery.attempts,
    tried_at: delivery.triedAtMicros,
    payload: JSON.stringify(delivery.payload),
    outcome: delivery.outcome === undefined ? '' : JSON.stringify(delivery.outcome),
  };
}

type Row = ReturnType<typeof rowOf>;

function deliveryOf(row: Row): Delivery {
  return {
    webhookUid: row.webhook_uid,
    eventId: row.event_id,
    state: row.state,
    occurredAtMicros: row.occurred_at,
    attempts: row.attempts,
    triedAtMicros: row.tried_at,
    payload: payloadSchema.parse(JSON.parse(row.payload)),
    outcome: row.outcome === '' ? undefined : outcomeSchema.parse(JSON.parse(row.outcome)),
  };
}
