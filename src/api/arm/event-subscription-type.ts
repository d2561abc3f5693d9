import { createHash } from 'node:crypto';
import { registryType } from '../../features/registries/registry.ts';
import type { LoginServerOf } from '../../features/registries/registry-store.ts';
import { refuse } from '../../features/resources/refuse.ts';
import { idKey, type Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import {
  eventSubscriptionType,
  subscriptionFilterOf,
  validateSubscription,
} from '../../features/webhooks/event-subscription.ts';
import { type HandshakeParts, shakeHands } from '../../features/webhooks/subscription-handshake.ts';
import type { WebhookForm } from '../../features/webhooks/webhook.ts';
import {
  hastenDelivery,
  planDelivery,
  removeWebhook,
  skipToHead,
  writeWebhook,
} from '../../features/webhooks/webhook-store.ts';
import { openTarget, sealedBytes, sealProperties, type TargetParts } from '../../features/webhooks/webhook-target.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import { isJsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';
import { refuseMoreAttached } from './attached-limit.ts';

export type EventSubscriptionParts = TargetParts &
  HandshakeParts & {
    readonly database: Database;
    readonly jobs: Pick<Jobs, 'add'>;
    readonly loginServerOf: LoginServerOf;
  };

/** Each of them is told every event by itself. */
const mostSubscriptions = 100;

/** Whom a registry tells in the forms of Event Grid and CloudEvents. Source: Microsoft.EventGrid/eventSubscriptions. */
export function registryEventSubscriptionType(parts: EventSubscriptionParts): ArmType {
  return {
    type: eventSubscriptionType,
    level: 'extension',
    hasLocation: false,
    hasSystemData: true,
    // az sends the properties without a name, and takes nothing but 201.
    patch: { read: (body) => (isJsonObject(body.properties) ? body : { properties: body }), status: 201 },
    checkName: (name) => {
      if (/^[a-zA-Z0-9-]{3,64}$/.test(name)) return;
      throw refuse('resourceNameInvalid', {
        message: `The name '${name.slice(0, 100)}' is invalid: use 3 to 64 letters, digits and hyphens.`,
        target: 'name',
      });
    },
    validate: validateSubscription,
    settle: async (tx, { resource, previous }) => {
      if (previous === undefined) {
        const registry = await registryOf(tx, resource);
        await refuseMoreAttached(tx, { ...parts, registry, resource, most: mostSubscriptions });
      }
      const { uid, properties, ...desired } = resource;
      const sealed = sealProperties(parts, uid, properties, previous?.properties);
      const agreed = previous?.properties.agreed ?? (previous && earlierAgreementOf(previous));
      return { ...desired, properties: agreed === undefined ? sealed : { ...sealed, agreed } };
    },
    apply: async ({ tx }, { resource, previous }) => {
      const registry = await registryOf(tx, resource);
      await write(tx, resource, registry.uid, resource.state === 'Succeeded' || hasAgreed(resource));
      // What happens until the endpoint has agreed is told afterwards, unless it had its chance before.
      if (previous === undefined || previous.state === 'Failed') await skipToHead(tx, resource.uid, registry.uid);
    },
    converge: {
      // Also of a change that the endpoint is not asked about: az shows what is final at once without the type of its destination.
      isNeeded: () => true,
      run: async (resource, run) => {
        const registry = await registryOf(parts.database.read, resource);
        if (!hasAgreed(resource))
          await shakeHands(parts, {
            form: formOf(resource),
            target: openTarget(parts, resource.uid, sealedBytes(resource.properties)),
            topic: registry.id,
            origin: parts.loginServerOf(registry.name.toLowerCase()).replace(/:\d+$/, ''),
            subscriptionName: resource.name,
            signal: run.signal,
          });
        await run.write(async ({ tx }, current) => {
          await write(tx, current, registry.uid, true);
          await planDelivery(tx, parts.jobs, current.uid);
          return { ...current.properties, agreed: agreementOf(current) };
        });
      },
    },
    forget: async ({ tx }, { uid }) => await removeWebhook(tx, uid),
    properties: ({ properties: { sealed: _, agreed: __, ...shown }, parentId, state }) => ({
      ...shown,
      topic: parentId,
      provisioningState: state,
      retryPolicy: { maxDeliveryAttempts: 30, eventTimeToLiveInMinutes: 1_440 },
    }),
    actions: {
      getfullurl: {
        method: 'POST',
        isChange: true,
        run: async ({ resource: { uid, properties } }) => ({
          endpointUrl: openTarget(parts, uid, sealedBytes(properties)).serviceUri,
        }),
      },
    },
  };
}

async function write(tx: Transaction, resource: Resource, registryUid: string, isEnabled: boolean): Promise<void> {
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

/** Whether this endpoint has agreed to be told in this form: it is not asked again. */
function hasAgreed(resource: Resource): boolean {
  return resource.properties.agreed === agreementOf(resource);
}

/** Before it was written down to what, an endpoint whose subscription was good had agreed to it. */
function earlierAgreementOf(previous: Resource): string | undefined {
  return previous.state === 'Succeeded' ? agreementOf(previous) : undefined;
}

function agreementOf(resource: Resource): string {
  return createHash('sha256')
    .update(JSON.stringify([formOf(resource), resource.properties.sealed]))
    .digest('hex');
}

function formOf({ properties }: Resource): WebhookForm {
  return properties.eventDeliverySchema === 'CloudEventSchemaV1_0' ? 'cloudEvents' : 'eventGrid';
}

async function registryOf(
  queries: Queries | Transaction,
  { tenantUid, parentId }: Pick<Resource, 'tenantUid' | 'parentId'>,
): Promise<Resource> {
  const parent = await findResource(queries, tenantUid, parentId);
  if (parent === undefined) throw missing(parentId);
  if (idKey(parent.type) === idKey(registryType)) return parent;
  throw refuse('resourceInvalid', {
    message: `Event subscriptions belong to registries, and '${parentId}' is none.`,
    target: 'scope',
  });
}
