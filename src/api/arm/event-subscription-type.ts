import { registryType } from '../../features/registries/registry.ts';
import type { LoginServerOf } from '../../features/registries/registry-store.ts';
import { refuse } from '../../features/resources/refuse.ts';
import { idKey, type Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import { eventSubscriptionType, validateSubscription } from '../../features/webhooks/event-subscription.ts';
import { validationToken } from '../../features/webhooks/manual-validation.ts';
import {
  agreementOf,
  awaitingUntilMicros,
  formOf,
  hasAgreed,
  manualValidationMs,
  subscriptionState,
  writeReceiver,
} from '../../features/webhooks/subscription-agreement.ts';
import {
  type HandshakeAnswer,
  type HandshakeParts,
  shakeHands,
} from '../../features/webhooks/subscription-handshake.ts';
import { planDelivery, removeWebhook, skipToHead } from '../../features/webhooks/webhook-store.ts';
import { openTarget, sealedBytes, sealProperties, type TargetParts } from '../../features/webhooks/webhook-target.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import { isJsonObject, type JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';
import { refuseMoreAttached } from './attached-limit.ts';

export type EventSubscriptionParts = TargetParts &
  HandshakeParts & {
    readonly database: Database;
    readonly jobs: Pick<Jobs, 'add'>;
    readonly loginServerOf: LoginServerOf;
    /** At which endpoints can ask a login server; https when absent. */
    readonly loginServerScheme?: 'http' | 'https';
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
      const isEnabled = resource.state === 'Succeeded' || hasAgreed(resource);
      await writeReceiver(tx, resource, { registryUid: registry.uid, isEnabled });
      // What happens until the endpoint has agreed is told afterwards, unless it had its chance before.
      if (previous === undefined || subscriptionState(previous, parts.clock.nowMicros()) === 'Failed')
        await skipToHead(tx, parts.jobs, resource.uid, registry.uid);
    },
    converge: {
      // Also of a change that the endpoint is not asked about: az shows what is final at once without the type of its destination.
      isNeeded: () => true,
      run: async (resource, run) => {
        const registry = await registryOf(parts.database.read, resource);
        const untilMicros = parts.clock.nowMicros() + manualValidationMs * 1_000;
        const answer = await ask(parts, { resource, registry, untilMicros, signal: run.signal });
        await run.write(async ({ tx }, current) => {
          if (answer === 'taken') return { ...current.properties, awaitingUntilMicros: untilMicros };
          await writeReceiver(tx, current, { registryUid: registry.uid, isEnabled: true });
          await planDelivery(tx, parts.jobs, current.uid);
          return { ...current.properties, agreed: agreementOf(current) };
        });
      },
    },
    forget: async ({ tx }, { uid }) => await removeWebhook(tx, uid),
    properties: (resource) => ({
      ...shownOf(resource),
      topic: resource.parentId,
      provisioningState: subscriptionState(resource, parts.clock.nowMicros()),
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

type Question = {
  readonly resource: Resource;
  readonly registry: Resource;
  readonly untilMicros: number;
  readonly signal: AbortSignal;
};

/** Asks the endpoint, unless it has agreed before. Throws `resourceInvalid` with what it answered. */
async function ask(parts: EventSubscriptionParts, question: Question): Promise<HandshakeAnswer> {
  const { resource, registry, untilMicros, signal } = question;
  if (hasAgreed(resource)) return 'agreed';
  const loginServer = parts.loginServerOf(registry.name.toLowerCase());
  const words = new URLSearchParams({ id: resource.uid, token: validationToken(parts, resource, untilMicros) });
  return await shakeHands(parts, {
    form: formOf(resource),
    target: openTarget(parts, resource.uid, sealedBytes(resource.properties)),
    topic: registry.id,
    origin: loginServer.replace(/:\d+$/, ''),
    subscriptionName: resource.name,
    validationUrl: `${parts.loginServerScheme ?? 'https'}://${loginServer}/eventsubscriptions/${resource.name}/validate?${words}`,
    signal,
  });
}

/** Without what the server keeps for itself. */
function shownOf({ properties }: Resource): JsonObject {
  const { sealed: _, agreed: __, awaitingUntilMicros: ___, ...shown } = properties;
  return shown;
}

/** Before it was written down to what, an endpoint whose subscription was good had agreed to it. */
function earlierAgreementOf(previous: Resource): string | undefined {
  return previous.state === 'Succeeded' && awaitingUntilMicros(previous) === undefined
    ? agreementOf(previous)
    : undefined;
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
