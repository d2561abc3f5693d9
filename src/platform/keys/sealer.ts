import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Ids } from '../ids.ts';
import type { MasterKey, MasterKeys } from './master-keys.ts';

/*
 * A sealed value: version (1 byte, 1), key id (8 bytes), nonce (12), ciphertext, tag (16).
 * Authenticated beside it: version, key id, and the purpose.
 */
const algorithm = 'aes-256-gcm';
const version = 1;
const nonceAt = 9;
const ciphertextAt = 21;
const tagBytes = 16;

/** A sealed value cannot be opened: it is damaged, of another purpose, or under a key this installation does not have. */
export class SealError extends Error {}

/**
 * Encrypts what must be shown or used again (house plan, idea 7). The purpose names the place a value belongs to, with the
 * row's uid (`secret/<uid>`): sealed bytes copied to another place do not open there.
 */
export type Sealer = {
  readonly seal: (purpose: string, plain: Uint8Array) => Uint8Array;
  /** Throws SealError. */
  readonly open: (purpose: string, sealed: Uint8Array) => Uint8Array;
  readonly sealText: (purpose: string, plain: string) => Uint8Array;
  /** Throws SealError. */
  readonly openText: (purpose: string, sealed: Uint8Array) => string;
  /** Whether a value is sealed under the newest key; others are to be sealed anew after the master key was changed. */
  readonly isCurrent: (sealed: Uint8Array) => boolean;
};

export function createSealer(keys: MasterKeys, ids: Ids): Sealer {
  const [current] = keys;
  const seal = (purpose: string, plain: Uint8Array): Uint8Array => {
    const header = Buffer.concat([Buffer.of(version), current.id]);
    const nonce = ids.bytes(ciphertextAt - nonceAt);
    const cipher = createCipheriv(algorithm, current.bytes, nonce);
    cipher.setAAD(Buffer.concat([header, Buffer.from(purpose)]));
    const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
    return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()]);
  };
  const open = (purpose: string, sealed: Uint8Array): Uint8Array => {
    if (sealed[0] !== version || sealed.length < ciphertextAt + tagBytes) throw new SealError('not a sealed value');
    const key = keys.find((candidate) => isUnder(candidate, sealed));
    if (key === undefined) throw new SealError('sealed under a master key that this installation does not have');
    return decrypt(key, purpose, sealed);
  };
  return {
    seal,
    open,
    sealText: (purpose, plain) => seal(purpose, Buffer.from(plain)),
    openText: (purpose, sealed) => Buffer.from(open(purpose, sealed)).toString(),
    isCurrent: (sealed) => isUnder(current, sealed),
  };
}

function isUnder(key: MasterKey, sealed: Uint8Array): boolean {
  return Buffer.compare(key.id, sealed.subarray(1, nonceAt)) === 0;
}

function decrypt(key: MasterKey, purpose: string, sealed: Uint8Array): Uint8Array {
  const decipher = createDecipheriv(algorithm, key.bytes, sealed.subarray(nonceAt, ciphertextAt), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(Buffer.concat([sealed.subarray(0, nonceAt), Buffer.from(purpose)]));
  decipher.setAuthTag(sealed.subarray(-tagBytes));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(ciphertextAt, -tagBytes)), decipher.final()]);
  } catch (cause) {
    throw new SealError('the sealed value is damaged or belongs elsewhere', { cause });
  }
}
