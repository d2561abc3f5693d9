import { randomBytes, randomUUID } from 'node:crypto';
import type { Ids } from './ids.ts';

const uidBytes = 16;
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** Random values from the machine's cryptographic generator. */
export const systemIds: Ids = {
  uid: () => base32(randomBytes(uidBytes)),
  guid: () => randomUUID(),
  bytes: (count) => randomBytes(count),
};

/** Without padding. Source: RFC 4648, section 6, in lower case. */
function base32(bytes: Uint8Array): string {
  let text = '';
  let value = 0;
  let bits = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet.charAt(value >>> bits);
      value &= (1 << bits) - 1;
    }
  }
  return bits === 0 ? text : text + alphabet.charAt(value << (5 - bits));
}
