import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { idKey, isConverging, type Resource } from '../resources/resource.ts';
import { tellResource } from '../resources/resource-events.ts';
import { findByUid, findForUpdate, updateResource } from '../resources/resource-store.ts';
import { eventSubscriptionType } from './event-subscription.ts';
import { agreementOf, awaitingUntilMicros, hasAgreed, writeReceiver } from './subscription-agreement.ts';
import { findWebhook, planDelivery } from './webhook-store.ts';

export type ManualValidationParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
  readonly jobs: Pick<Jobs, 'add'>;
};

/** What an address of validation names: `token` is of this endpoint, form and time, and of nothing else. */
export type ValidationAddress = { readonly uid: string; readonly token: string };

const tokenSchema = z.strictObject({ agreement: z.string(), untilMicros: z.int() });
type Said = z.infer<typeof tokenSchema>;

/** An endpoint may ask before we know that it took the question: so long it is waited for. */
const patienceMs = 5_000;
const lookEveryMs = 100;

export function validationToken(
  { sealer }: Pick<ManualValidationParts, 'sealer'>,
  resource: Resource,
  untilMicros: number,
): string {
  const text = JSON.stringify({ agreement: agreementOf(resource), untilMicros } satisfies Said);
  return Buffer.from(sealer.sealText(purposeOf(resource.uid), text)).toString('base64url');
}

/** `gone` says that whoever asked has gone: its reason ends the wait. */
export type ValidateByHand = (address: ValidationAddress, gone: AbortSignal) => Promise<void>;

/**
 * The owner of an endpoint agrees to its subscription by asking for the address that the validation event gave; again and again as often
 * as it likes. Throws `eventValidationUnknown`, of a token that is not ours before anything is looked up, and `eventValidationEarly` while
 * the event itself is not answered with 200: after some patience, or at once while another request of this process waits for that.
 * Source: Event Grid, "Endpoint validation with Event Grid event schema"; CloudEvents, "HTTP 1.1 Web Hooks for Event Delivery", section 4.
 */
export function createValidateByHand(parts: ManualValidationParts): ValidateByHand {
  const waitedFor = new Set<string>();
  return async ({ uid, token }, gone) => {
    const said = opened(parts, uid, token);
    if (said === undefined) throw unknown();
    if (await isAgreedNow(parts, uid, said)) return;
    if (waitedFor.has(uid)) throw early();
    waitedFor.add(uid);
    try {
      await untilAgreed(parts, uid, said, gone);
    } finally {
      waitedFor.delete(uid);
    }
  };
}

async function untilAgreed(parts: ManualValidationParts, uid: string, said: Said, gone: AbortSignal): Promise<void> {
  const { clock } = parts;
  const lastMs = clock.monotonicMs() + patienceMs;
  while (clock.monotonicMs() < lastMs) {
    await clock.sleep(lookEveryMs, gone);
    if (await isAgreedNow(parts, uid, said)) return;
  }
  throw early();
}

/** Agrees where that is possible; false while it is not yet. Throws `eventValidationUnknown` when it never will be. */
async function isAgreedNow(parts: ManualValidationParts, uid: string, said: Said): Promise<boolean> {
  const resource = await findByUid(parts.database.read, uid);
  if (resource === undefined || !isAbout(resource, said.agreement)) throw unknown();
  if (isConverging(resource)) return false;
  if (hasAgreed(resource)) return true;
  // A failed one was not left to this: the endpoint has refused.
  if (parts.clock.nowMicros() >= said.untilMicros || awaitingUntilMicros(resource) === undefined) throw unknown();
  return await agree(parts, resource);
}

function isAbout(resource: Resource, agreement: string): boolean {
  return (
    idKey(resource.type) === idKey(eventSubscriptionType) &&
    resource.state !== 'Deleting' &&
    agreementOf(resource) === agreement
  );
}

/** False when it was changed meanwhile, unless by another who agreed to the same. */
async function agree(
  { database, journal, clock, ids, jobs }: ManualValidationParts,
  asked: Resource,
): Promise<boolean> {
  return await journal.transaction(async (tx, append) => {
    const current = await findForUpdate(database.kind, tx, asked.tenantUid, asked.id);
    if (current !== undefined && hasAgreed(current) && isAbout(current, agreementOf(asked))) return true;
    const receiver = await findWebhook(tx, asked.uid);
    if (current?.etag !== asked.etag || receiver === undefined) return false;
    const { awaitingUntilMicros: _, ...properties } = current.properties;
    const agreed = {
      ...current,
      properties: { ...properties, agreed: agreementOf(current) },
      etag: ids.guid(),
      changedAtMicros: clock.nowMicros(),
    };
    await updateResource(tx, agreed);
    tellResource(append, 'resource.updated', agreed);
    await writeReceiver(tx, agreed, { registryUid: receiver.registry_uid, isEnabled: true });
    await planDelivery(tx, jobs, agreed.uid);
    return true;
  });
}

/** Undefined for a token that we did not give to this subscription. */
function opened({ sealer }: ManualValidationParts, uid: string, token: string): Said | undefined {
  try {
    return tokenSchema.parse(JSON.parse(sealer.openText(purposeOf(uid), Buffer.from(token, 'base64url'))));
  } catch {
    // Made up, or of another subscription.
    return undefined;
  }
}

function unknown(): BerthError {
  return new BerthError('eventValidationUnknown');
}

function early(): BerthError {
  return new BerthError('eventValidationEarly');
}

function purposeOf(uid: string): string {
  return `event-validation/${uid}`;
}
