import { createHash } from 'node:crypto';
import type { Arguments, TemplateFunctions } from './arguments.ts';

const many = Number.POSITIVE_INFINITY;
/** The namespace of names made by `guid()`. Source: docs/decisions/arm-templates.md. */
const guidNamespace = '11fb06fb-712d-4ddd-98c7-e71bbd588830';
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const uniqueLength = 13;

/** Functions that make names from names, by lower-cased name. Source: docs/decisions/arm-templates.md. */
export const nameFunctions: TemplateFunctions = {
  guid: (args) => guidOfName(guidNamespace, joined(args)),
  uniquestring: (args) => uniqueText(joined(args)),
};

/** A version 5 UUID. Source: RFC 4122, section 4.3. */
export function guidOfName(namespace: string, name: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  const bytes = hash.subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** 13 letters and digits, 65 bits of SHA-256: the same form as Azure's, of other values. */
function uniqueText(name: string): string {
  const hash = createHash('sha256').update(name).digest();
  return Array.from({ length: uniqueLength }, (_, index) => alphabet.charAt((hash[index] ?? 0) & 31)).join('');
}

function joined(args: Arguments): string {
  return args
    .count(1, many)
    .all.map((_, index) => args.text(index))
    .join('-');
}
