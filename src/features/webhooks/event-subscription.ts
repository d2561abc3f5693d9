import { z } from 'zod';
import type { JsonObject } from '../../wire/arm/json.ts';
import { eventSubscriptionSchema, mappedHeadersSchema } from '../../wire/events/event-subscription-schema.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired } from '../resources/resource.ts';
import type { Validation } from '../resources/resource-type.ts';
import type { Notification } from './notification.ts';
import { webhookActions } from './webhook.ts';
import { gridTypeOf, subjectOf } from './webhook-message.ts';

export const eventSubscriptionType = 'Microsoft.EventGrid/eventSubscriptions';

const usualKilobytes = 64;

const filterSchema = z.object({
  types: z.array(z.string()),
  begins: z.string(),
  ends: z.string(),
  isCaseSensitive: z.boolean(),
  batchSize: z.int(),
  batchBytes: z.int().default(usualKilobytes * 1_024),
});
/** What a subscription wants to hear of, as the column `filter` has it. */
export type SubscriptionFilter = z.infer<typeof filterSchema>;

/** Of what Event Grid has no type for, only who asks for it by name is told. */
const allTypes = webhookActions.filter((action) => action !== 'quarantine').map(gridTypeOf);
const knownTypes = webhookActions.map(gridTypeOf);
const maxBatch = 100;

/**
 * Checks what a request says of a subscription; as `validateWebhook`, it leaves address and headers to be sealed.
 * Throws `resourceInvalid`.
 */
export function validateSubscription({ desired, existing }: Validation): Desired {
  const given = parseProperties(eventSubscriptionSchema, desired.properties, 'properties');
  const { endpointUrl, maxEventsPerBatch, preferredBatchSizeInKilobytes, deliveryAttributeMappings } =
    given.destination.properties;
  const sealed = existing?.properties.sealed;
  const keepsTarget = typeof sealed === 'string' && desired.properties.sealed === sealed;
  if (!endpointUrl && !keepsTarget)
    throw invalid('properties.destination.properties.endpointUrl', 'The subscription needs an endpointUrl to call.');
  const types = given.filter?.includedEventTypes ?? undefined;
  const unknown = types?.find((type) => !knownTypes.includes(type));
  if (unknown !== undefined)
    throw invalid(
      'properties.filter.includedEventTypes',
      `The event type '${unknown.slice(0, 100)}' is not known: use ${knownTypes.join(', ')}.`,
    );
  const mapped = Object.fromEntries(
    (deliveryAttributeMappings ?? []).map(({ name, properties }) => [name, properties.value]),
  );
  const headers = parseProperties(mappedHeadersSchema, mapped, 'properties.destination.deliveryAttributeMappings');
  const properties: JsonObject = {
    destination: {
      endpointType: 'WebHook',
      properties: {
        ...(endpointUrl ? { endpointBaseUrl: baseOf(endpointUrl) } : shownBase(existing?.properties)),
        maxEventsPerBatch: maxEventsPerBatch ?? 1,
        preferredBatchSizeInKilobytes: preferredBatchSizeInKilobytes ?? usualKilobytes,
      },
    },
    filter: {
      subjectBeginsWith: given.filter?.subjectBeginsWith ?? '',
      subjectEndsWith: given.filter?.subjectEndsWith ?? '',
      isSubjectCaseSensitive: given.filter?.isSubjectCaseSensitive ?? false,
      includedEventTypes: types ?? allTypes,
    },
    eventDeliverySchema: given.eventDeliverySchema ?? 'EventGridSchema',
    labels: given.labels ?? [],
    ...(keepsTarget ? { sealed } : {}),
    ...(endpointUrl ? { serviceUri: endpointUrl } : {}),
    ...(deliveryAttributeMappings ? { customHeaders: headers } : {}),
  };
  return { ...desired, location: undefined, sku: undefined, identity: undefined, properties };
}

/** Of stored properties. */
export function subscriptionFilterOf(properties: JsonObject): SubscriptionFilter {
  const { filter, destination } = storedSchema.parse(properties);
  const { maxEventsPerBatch, preferredBatchSizeInKilobytes } = destination.properties;
  return {
    types: filter.includedEventTypes,
    begins: filter.subjectBeginsWith,
    ends: filter.subjectEndsWith,
    isCaseSensitive: filter.isSubjectCaseSensitive,
    batchSize: Math.min(maxEventsPerBatch, maxBatch),
    batchBytes: preferredBatchSizeInKilobytes * 1_024,
  };
}

const storedSchema = z.object({
  destination: z.object({
    properties: z.object({
      maxEventsPerBatch: z.int(),
      preferredBatchSizeInKilobytes: z.int().default(usualKilobytes),
    }),
  }),
  filter: z.object({
    subjectBeginsWith: z.string(),
    subjectEndsWith: z.string(),
    isSubjectCaseSensitive: z.boolean(),
    includedEventTypes: z.array(z.string()),
  }),
});

/** The column `filter`. */
export function parseSubscriptionFilter(text: string): SubscriptionFilter {
  return filterSchema.parse(JSON.parse(text));
}

export function isSubscribed(filter: SubscriptionFilter, notification: Notification): boolean {
  const fold = (text: string) => (filter.isCaseSensitive ? text : text.toLowerCase());
  const subject = fold(subjectOf(notification));
  return (
    filter.types.includes(gridTypeOf(notification.action)) &&
    subject.startsWith(fold(filter.begins)) &&
    subject.endsWith(fold(filter.ends))
  );
}

/** The query is where receivers have their keys: it is not shown. */
function baseOf(endpointUrl: string): string {
  const url = new URL(endpointUrl);
  return `${url.origin}${url.pathname}`;
}

function shownBase(properties: JsonObject | undefined): JsonObject {
  const stored = z
    .object({ destination: z.object({ properties: z.object({ endpointBaseUrl: z.string() }) }) })
    .safeParse(properties).data;
  return stored === undefined ? {} : { endpointBaseUrl: stored.destination.properties.endpointBaseUrl };
}

function invalid(target: string, message: string) {
  return refuse('resourceInvalid', { message, target });
}
