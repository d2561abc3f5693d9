import { createHmac } from 'node:crypto';

export type Signed = {
  readonly id: string;
  readonly atMicros: number;
  readonly body: string;
  readonly signingKey: string;
};

/**
 * Headers by which a receiver knows that a delivery is ours, whole and recent: HMAC-SHA256 over id, time and body.
 * `signingKey` is base64; receivers know it as `whsec_<base64>`. Source: Standard Webhooks specification, "Signature scheme".
 */
export function signatureHeaders({ id, atMicros, body, signingKey }: Signed): Readonly<Record<string, string>> {
  const seconds = Math.floor(atMicros / 1_000_000);
  const hmac = createHmac('sha256', Buffer.from(signingKey, 'base64')).update(`${id}.${seconds}.${body}`);
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': `v1,${hmac.digest('base64')}`,
  };
}
