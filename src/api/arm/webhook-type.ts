import { skuOf } from '../../features/registries/registry-rules.ts';
import { skuLimits } from '../../features/registries/sku-limits.ts';
import { countChildren } from '../../features/registries/usage.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import type { Change } from '../../features/resources/resource-type.ts';
import { missing } from '../../features/resources/resources.ts';
import type { Delivery } from '../../features/webhooks/delivery-store.ts';
import { WebhookDeliveries, type WebhookDeliveriesParts } from '../../features/webhooks/webhook-deliveries.ts';
import { filterOf, validateWebhook, webhookType } from '../../features/webhooks/webhook-rules.ts';
import {
  hastenDelivery,
  lockRegistry,
  removeWebhook,
  skipToHead,
  writeWebhook,
} from '../../features/webhooks/webhook-store.ts';
import { openTarget, sealedBytes, sealProperties, type TargetParts } from '../../features/webhooks/webhook-target.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { webhookReplaySchema } from '../../wire/events/webhook-schema.ts';
import type { ArmAction, ArmType } from './arm-type.ts';

export type WebhookTypeParts = TargetParts & WebhookDeliveriesParts;

/** Whom a registry tells of changes. Source: Microsoft.ContainerRegistry/registries/webhooks. */
export function registryWebhookType(parts: WebhookTypeParts): ArmType {
  const deliveries = new WebhookDeliveries(parts);
  return {
    type: webhookType,
    level: 'child',
    hasLocation: true,
    hasSystemData: true,
    checkName: (name) => {
      if (/^[a-zA-Z0-9]{5,50}$/.test(name)) return;
      throw refuse('resourceNameInvalid', {
        message: `The webhook name '${name.slice(0, 100)}' is invalid: use 5 to 50 letters and digits.`,
        target: 'name',
      });
    },
    validate: validateWebhook,
    settle: async (tx, change) => {
      if (change.previous === undefined) await refuseTooMany(parts, tx, change.resource);
      const { uid, properties, ...desired } = change.resource;
      return { ...desired, properties: sealProperties(parts, uid, properties, change.previous?.properties) };
    },
    apply: async ({ tx }, change) => await applyWebhook(tx, parts.jobs, change),
    forget: async ({ tx }, { uid }) => await removeWebhook(tx, uid),
    properties: ({ properties: { status = 'enabled', scope = '', actions = [] }, state }) => ({
      status,
      scope,
      actions,
      provisioningState: state,
    }),
    actions: {
      getcallbackconfig: callbackAction(parts),
      ping: {
        method: 'POST',
        isChange: false,
        run: async ({ resource }) => ({ id: await deliveries.ping(resource.uid) }),
      },
      listevents: {
        method: 'POST',
        isChange: false,
        run: async ({ resource }) => ({ value: (await deliveries.list(resource.uid)).map(eventView) }),
      },
      replay: {
        method: 'POST',
        isChange: false,
        run: async ({ resource, body }) => {
          const { eventId } = parseProperties(webhookReplaySchema, body, '');
          return { replayed: await deliveries.replay(resource.uid, eventId ?? undefined) };
        },
      },
    },
  };
}

/** What the receiver is told besides: the key is ours, clients of Azure do not look at it. */
function callbackAction(parts: TargetParts): ArmAction {
  return {
    method: 'POST',
    isChange: true,
    run: async ({ resource: { uid, properties } }) => {
      const { serviceUri, customHeaders, signingKey } = openTarget(parts, uid, sealedBytes(properties));
      return { serviceUri, customHeaders, signingKey: `whsec_${signingKey}` };
    },
  };
}

async function refuseTooMany({ database }: WebhookTypeParts, tx: Transaction, webhook: Resource): Promise<void> {
  const registry = await registryOf(tx, webhook);
  await lockRegistry(database.kind, tx, registry.uid);
  const sku = skuOf(registry);
  const limit = skuLimits[sku].children.webhooks ?? 0;
  if (((await countChildren(tx, registry.id)).get('webhooks') ?? 0) < limit) return;
  throw refuse('quotaExceeded', {
    message:
      `Quota exceeded for resource type webhooks for the registry SKU ${sku}, which allows ${limit}. ` +
      'Delete one, or upgrade with az acr update --sku.',
    target: webhook.id,
  });
}

async function applyWebhook(
  tx: Transaction,
  jobs: WebhookTypeParts['jobs'],
  { resource, previous }: Change,
): Promise<void> {
  const { uid, properties, changedAtMicros } = resource;
  const registry = await registryOf(tx, resource);
  const isEnabled = properties.status === 'enabled';
  await writeWebhook(tx, {
    uid,
    registryUid: registry.uid,
    form: 'acr',
    isEnabled,
    filter: filterOf(properties),
    sealedTarget: sealedBytes(properties),
    nowMicros: changedAtMicros,
  });
  await hastenDelivery(tx, uid, changedAtMicros);
  // What happened before it was there, or while it was off, is not told.
  if (isEnabled && previous?.properties.status !== 'enabled') await skipToHead(tx, jobs, uid, registry.uid);
}

async function registryOf(tx: Transaction, { tenantUid, parentId }: Resource): Promise<Resource> {
  const registry = await findResource(tx, tenantUid, parentId);
  if (registry === undefined) throw missing(parentId);
  return registry;
}

/** Source: az wire document, 2.12. */
function eventView({ eventId, payload, attempts, state, outcome }: Delivery): object {
  const content: unknown = JSON.parse(payload.body);
  const request = {
    content,
    headers: outcome?.requestHeaders ?? {},
    method: 'POST',
    requestUri: outcome?.requestUri ?? null,
    version: '1.1',
  };
  const response = {
    content: outcome?.responseBody ?? outcome?.fault ?? '',
    headers: outcome?.responseHeaders ?? {},
    reasonPhrase: outcome?.fault ?? (outcome?.status === undefined ? '' : 'OK'),
    statusCode: outcome?.status === undefined ? null : String(outcome.status),
    version: '1.1',
  };
  return {
    id: eventId,
    eventRequestMessage: request,
    ...(outcome === undefined ? {} : { eventResponseMessage: response }),
    delivery: { state, attempts },
  };
}
