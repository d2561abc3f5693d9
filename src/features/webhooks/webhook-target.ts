import { z } from 'zod';
import type { BerthError } from '../../core/errors.ts';
import type { Ids } from '../../platform/ids.ts';
import { canonicalJson } from '../../platform/journal/canonical-json.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { isJsonObject, type JsonObject } from '../../wire/arm/json.ts';
import { refuse } from '../resources/refuse.ts';
import type { WebhookTarget } from './webhook.ts';

const targetSchema = z.object({
  serviceUri: z.string(),
  customHeaders: z.record(z.string(), z.string()),
  signingKey: z.string(),
});

const signingKeyBytes = 32;

export type TargetParts = { readonly sealer: Sealer; readonly ids: Ids };

/** Throws SealError. */
export function openTarget({ sealer }: Pick<TargetParts, 'sealer'>, uid: string, sealed: Uint8Array): WebhookTarget {
  return targetSchema.parse(JSON.parse(sealer.openText(purposeOf(uid), sealed)));
}

/**
 * Takes address and headers out of the properties and leaves them sealed, so that neither the resource nor its events show
 * them. `previous` are those of the resource as it stood; its signing key stays, that of a new one is generated. What a PATCH
 * (which brings `sealed` along) leaves out stays too. Another origin inherits neither headers nor key: whoever may change the
 * address need not be one who may see them. Throws `resourceInvalid` for a PATCH that would leave headers behind unsaid.
 */
export function sealProperties(
  parts: TargetParts,
  uid: string,
  properties: JsonObject,
  previous: JsonObject | undefined,
): JsonObject {
  const { serviceUri, customHeaders, sealed, ...rest } = properties;
  const before = previous === undefined ? undefined : openTarget(parts, uid, sealedBytes(previous));
  const kept = sealed !== undefined && sealed === previous?.sealed ? before : undefined;
  const address = typeof serviceUri === 'string' ? serviceUri : (kept?.serviceUri ?? '');
  const isThere = before !== undefined && isSameOrigin(before.serviceUri, address);
  const headers = headersOf(customHeaders);
  if (headers === undefined && !isThere && Object.keys(kept?.customHeaders ?? {}).length > 0)
    throw headersLeft(address);
  const target: WebhookTarget = {
    serviceUri: address,
    customHeaders: headers ?? (isThere ? kept?.customHeaders : undefined) ?? {},
    signingKey: isThere ? before.signingKey : newSigningKey(parts),
  };
  // Sealing the same once more would look like a change.
  const isSame = before !== undefined && canonicalJson(before) === canonicalJson(target);
  return { ...rest, sealed: isSame ? (previous?.sealed ?? null) : sealTarget(parts, uid, target) };
}

function headersLeft(address: string): BerthError {
  return refuse('resourceInvalid', {
    message:
      `There are custom headers, and they do not go along to ${URL.parse(address)?.origin ?? 'another host'}. ` +
      'Give the new address together with its headers (az acr webhook: --headers, az eventgrid: --delivery-attribute-mapping), ' +
      'or with none: "customHeaders": {}, "deliveryAttributeMappings": [].',
    target: 'properties.customHeaders',
  });
}

/** Base64. */
export function sealTarget({ sealer }: TargetParts, uid: string, target: WebhookTarget): string {
  return Buffer.from(sealer.sealText(purposeOf(uid), JSON.stringify(target))).toString('base64');
}

/** Of a stored webhook. */
export function sealedBytes({ sealed }: JsonObject): Uint8Array {
  if (typeof sealed !== 'string') throw new TypeError('a stored webhook has a sealed target');
  return Buffer.from(sealed, 'base64');
}

export function newSigningKey({ ids }: Pick<TargetParts, 'ids'>): string {
  return Buffer.from(ids.bytes(signingKeyBytes)).toString('base64');
}

function isSameOrigin(a: string, b: string): boolean {
  return a === b || URL.parse(a)?.origin === URL.parse(b)?.origin;
}

function headersOf(value: unknown): Readonly<Record<string, string>> | undefined {
  if (!isJsonObject(value)) return undefined;
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, String(text)]));
}

function purposeOf(uid: string): string {
  return `webhook/${uid}`;
}
