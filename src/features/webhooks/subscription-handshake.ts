import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Outbound, OutboundRequest, OutboundResponse } from '../../platform/outbound/outbound.ts';
import { OutboundError } from '../../platform/outbound/outbound-error.ts';
import { validationAnswerSchema } from '../../wire/events/event-subscription-schema.ts';
import { refuse } from '../resources/refuse.ts';
import type { WebhookForm, WebhookTarget } from './webhook.ts';
import { timestampOf } from './webhook-message.ts';

export type HandshakeParts = {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly clock: Clock;
  readonly ids: Ids;
};

export type Handshake = {
  readonly form: WebhookForm;
  readonly target: WebhookTarget;
  /** ARM id of the registry. */
  readonly topic: string;
  /** Host that the events come from. */
  readonly origin: string;
  readonly subscriptionName: string;
  /** Where the endpoint's owner can agree later. */
  readonly validationUrl: string;
  readonly signal: AbortSignal;
};

const maxAnswerBytes = 65_536;
const timeoutMs = 15_000;

/** Whether the receiver has agreed, or took the question and left the answer to its owner. */
export type HandshakeAnswer = 'agreed' | 'taken';

/** Asks a receiver whether it wants events, as its form has it. Throws `resourceInvalid` with what it answered instead. */
export async function shakeHands(parts: HandshakeParts, handshake: Handshake): Promise<HandshakeAnswer> {
  try {
    return handshake.form === 'cloudEvents'
      ? await askForAbuseProtection(parts, handshake)
      : await sendValidationEvent(parts, handshake);
  } catch (error) {
    handshake.signal.throwIfAborted();
    if (error instanceof BerthError) throw error;
    if (error instanceof OutboundError) throw refused(handshake, error.message);
    throw error;
  }
}

/** Source: Event Grid, "Endpoint validation with Event Grid event schema". */
async function sendValidationEvent(
  { outbound, clock, ids }: HandshakeParts,
  handshake: Handshake,
): Promise<HandshakeAnswer> {
  const validationCode = ids.guid().toUpperCase();
  const event = {
    id: ids.guid(),
    topic: handshake.topic,
    subject: '',
    eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent',
    eventTime: timestampOf(clock.nowMicros()),
    data: { validationCode, validationUrl: handshake.validationUrl },
    dataVersion: '2',
    metadataVersion: '1',
  };
  const answer = await outbound.call({
    ...requestTo(handshake),
    method: 'POST',
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'aeg-event-type': 'SubscriptionValidation',
      'aeg-subscription-name': handshake.subscriptionName.toUpperCase(),
    },
    body: JSON.stringify([event]),
  });
  const text = await textOf(answer);
  if (answer.status !== 200) throw refused(handshake, `it answered ${answer.status}`);
  const echoed = validationAnswerSchema.safeParse(parse(text)).data?.validationResponse;
  if (echoed === undefined) return 'taken';
  if (echoed.toUpperCase() !== validationCode)
    throw refused(handshake, 'the validationResponse of its answer is not the validation code');
  return 'agreed';
}

/** Source: CloudEvents, "HTTP 1.1 Web Hooks for Event Delivery", section 4. */
async function askForAbuseProtection({ outbound }: HandshakeParts, handshake: Handshake): Promise<HandshakeAnswer> {
  const answer = await outbound.call({
    ...requestTo(handshake),
    method: 'OPTIONS',
    headers: { 'WebHook-Request-Origin': handshake.origin, 'WebHook-Request-Callback': handshake.validationUrl },
  });
  await answer.discard();
  const allowed = answer.headers.get('webhook-allowed-origin');
  if (answer.status !== 200 && answer.status !== 204)
    throw refused(handshake, `it answered OPTIONS with ${answer.status}`);
  if (allowed === undefined) return 'taken';
  if (allowed !== '*' && allowed.toLowerCase() !== handshake.origin.toLowerCase())
    throw refused(handshake, `its answer to OPTIONS has no WebHook-Allowed-Origin of ${handshake.origin} or *`);
  return 'agreed';
}

function requestTo({
  target,
  signal,
}: Handshake): Pick<
  OutboundRequest,
  'url' | 'credentials' | 'maxBytes' | 'timeoutMs' | 'totalTimeoutMs' | 'maxRedirects' | 'signal'
> {
  const limits = { maxBytes: maxAnswerBytes, timeoutMs, totalTimeoutMs: timeoutMs, maxRedirects: 0 };
  return { url: target.serviceUri, credentials: target.customHeaders, ...limits, signal };
}

async function textOf({ body }: OutboundResponse): Promise<string> {
  const pieces = await Array.fromAsync(body);
  return Buffer.concat(pieces).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not the answer that was asked for: told as such.
    return undefined;
  }
}

function refused({ subscriptionName }: Handshake, reason: string): BerthError {
  return refuse('resourceInvalid', {
    message:
      `The endpoint of the event subscription '${subscriptionName}' did not pass its validation: ${reason}. ` +
      'Let it answer the handshake, and send the same request again.',
    target: 'properties.destination.properties.endpointUrl',
  });
}
