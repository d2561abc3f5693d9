const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const guidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The same 128 bits as a uid in the form of a GUID: what Azure's protocols call the object id of a principal, group or
 * credential. Nothing has to be stored beside the uid. Throws RangeError for a text that is no uid.
 */
export function objectIdOf(uid: string): string {
  const hex = Buffer.from(bytesOf(uid)).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The uid behind an object id in any case; undefined for a text that is no GUID. */
export function uidOfObjectId(text: string): string | undefined {
  const guid = text.toLowerCase();
  if (!guidPattern.test(guid)) return undefined;
  const bits = [...Buffer.from(guid.replaceAll('-', ''), 'hex')]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  const groups = bits.padEnd(130, '0').match(/.{5}/g) ?? [];
  return groups.map((group) => alphabet.charAt(Number.parseInt(group, 2))).join('');
}

export function isGuid(text: string): boolean {
  return guidPattern.test(text.toLowerCase());
}

function bytesOf(uid: string): number[] {
  if (!/^[a-z2-7]{25}[aeimquy4]$/.test(uid)) throw new RangeError('not a uid');
  const bits = [...uid].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return (bits.slice(0, 128).match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2));
}
