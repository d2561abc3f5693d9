import { createHash, timingSafeEqual } from 'node:crypto';

const prefix = 'sha256$';

/** The verifier of a generated secret of 256 random bits, as a row keeps it. Never for a person's password. */
export function hashSecret(secret: string): string {
  return prefix + createHash('sha256').update(secret).digest('base64url');
}

/** Whether `verifier` came from `hashSecret`. */
export function isSecretHash(verifier: string): boolean {
  return verifier.startsWith(prefix);
}

/** Takes the same time whatever differs. */
export function verifySecret(secret: string, verifier: string): boolean {
  const expected = Buffer.from(verifier);
  const actual = Buffer.from(hashSecret(secret));
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}
