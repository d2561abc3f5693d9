import { z } from 'zod';
import { customHeadersSchema, serviceUriSchema } from './webhook-schema.ts';

/** A member that texts of any case stand for. */
function word<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return z.preprocess(
    (value) => words.find((each) => each.toLowerCase() === String(value).toLowerCase()) ?? value,
    z.enum(words),
  );
}

const mappingSchema = z.object({
  name: z.string(),
  type: word('Static'),
  properties: z.object({ value: z.string(), isSecret: z.boolean().nullish() }),
});

/** What can be set of an event subscription. Source: Microsoft.EventGrid/eventSubscriptions. */
export const eventSubscriptionSchema = z.object({
  destination: z.object({
    endpointType: word('WebHook'),
    properties: z.object({
      endpointUrl: serviceUriSchema.nullish(),
      maxEventsPerBatch: z.int().min(1).max(5_000).nullish(),
      preferredBatchSizeInKilobytes: z.int().min(1).max(1_024).nullish(),
      deliveryAttributeMappings: z.array(mappingSchema).max(10).nullish(),
    }),
  }),
  filter: z
    .object({
      subjectBeginsWith: z.string().max(400).nullish(),
      subjectEndsWith: z.string().max(400).nullish(),
      isSubjectCaseSensitive: z.boolean().nullish(),
      includedEventTypes: z.array(z.string()).max(50).nullish(),
      advancedFilters: z.array(z.unknown()).max(0, 'advanced filters are not supported: use the subject').nullish(),
    })
    .nullish(),
  eventDeliverySchema: word('EventGridSchema', 'CloudEventSchemaV1_0').nullish(),
  labels: z.array(z.string().max(256)).max(20).nullish(),
  deadLetterDestination: z.null('dead letters stay in this installation: see replay').optional(),
  expirationTimeUtc: z.null('subscriptions do not expire').optional(),
});

/** Headers of a delivery, from static mappings. Throws what `customHeadersSchema` finds. */
export const mappedHeadersSchema = customHeadersSchema;

/** Answer to the validation event. Source: Event Grid, "Endpoint validation with Event Grid event schema". */
export const validationAnswerSchema = z.object({ validationResponse: z.string() });
