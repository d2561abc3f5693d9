import { createHash } from 'node:crypto';
import type { Transaction } from '../../platform/database/database.ts';
import type { ProvisioningState, Resource } from '../resources/resource.ts';
import { subscriptionFilterOf } from './event-subscription.ts';
import type { WebhookForm } from './webhook.ts';
import { hastenDelivery, writeWebhook } from './webhook-store.ts';
import { sealedBytes } from './webhook-target.ts';

/**
 * How long an endpoint that took the question may take to answer it by a request of its own.
 * Source: Event Grid, "Endpoint validation with Event Grid event schema": the asynchronous handshake.
 */
export const manualValidationMs = 600_000;

/** Of a subscription that the endpoint has not agreed to yet; `AwaitingManualAction` is Event Grid's. */
export type SubscriptionState = ProvisioningState | 'AwaitingManualAction';

export function formOf({ properties }: Resource): WebhookForm {
  return properties.eventDeliverySchema === 'CloudEventSchemaV1_0' ? 'cloudEvents' : 'eventGrid';
}

/** To what an endpoint agrees: to be told in this form, at this address. */
export function agreementOf(resource: Resource): string {
  return createHash('sha256')
    .update(JSON.stringify([formOf(resource), resource.properties.sealed]))
    .digest('hex');
}

/** Whether this endpoint has agreed to be told in this form: it is not asked again. */
export function hasAgreed(resource: Resource): boolean {
  return resource.properties.agreed === agreementOf(resource);
}

/** Until when the endpoint may agree by a request of its own; undefined where it was not left to that. */
export function awaitingUntilMicros({ properties }: Resource): number | undefined {
  const { awaitingUntilMicros: until } = properties;
  return typeof until === 'number' ? until : undefined;
}

/** As it is shown: nobody writes it down when the time for an answer is over. */
export function subscriptionState(resource: Resource, nowMicros: number): SubscriptionState {
  const until = awaitingUntilMicros(resource);
  if (resource.state !== 'Succeeded' || until === undefined) return resource.state;
  return nowMicros < until ? 'AwaitingManualAction' : 'Failed';
}

/** The receiver that deliveries are made to. */
export async function writeReceiver(
  tx: Transaction,
  resource: Resource,
  { registryUid, isEnabled }: { readonly registryUid: string; readonly isEnabled: boolean },
): Promise<void> {
  await writeWebhook(tx, {
    uid: resource.uid,
    registryUid,
    form: formOf(resource),
    isEnabled,
    filter: subscriptionFilterOf(resource.properties),
    sealedTarget: sealedBytes(resource.properties),
    nowMicros: resource.changedAtMicros,
  });
  await hastenDelivery(tx, resource.uid, resource.changedAtMicros);
}
