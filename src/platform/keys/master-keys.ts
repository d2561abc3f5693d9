import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import type { Ids } from '../ids.ts';
import { createDurableFile } from './durable-file.ts';

const keyBytes = 32;
const keyIdBytes = 8;
const fileMode = 0o600;

export type MasterKey = {
  /** 8 bytes that tell keys apart without telling anything about them. */
  readonly id: Uint8Array;
  /** 32 bytes, for AES-256. */
  readonly bytes: Uint8Array;
};

/** The first key seals; all of them open, so that an old one stays usable until everything is sealed anew. */
export type MasterKeys = readonly [MasterKey, ...MasterKey[]];

/** Why the master key cannot be used; the message says what to do and never holds a key. */
export class MasterKeyError extends Error {}

/**
 * Reads keys from a text: each 32 bytes in base64 (either alphabet), separated by white space or commas, the newest first.
 * Throws MasterKeyError.
 */
export function parseMasterKeys(text: string): MasterKeys {
  const [first, ...others] = text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map(parseKey);
  if (first === undefined) throw new MasterKeyError('the master key is empty: give 32 random bytes in base64');
  return [first, ...others];
}

/** Throws MasterKeyError when the file is missing, malformed, or open to other users. */
export function readMasterKeyFile(path: string): MasterKeys {
  const found = readIfThere(path);
  if (found === undefined) throw new MasterKeyError('the master key file does not exist');
  return found;
}

/** The keys of an installation that keeps its own: a file of mode 0600, made with a random key when it is missing. */
export function readOrCreateMasterKeyFile(path: string, ids: Ids): MasterKeys {
  const found = readIfThere(path);
  if (found !== undefined) return found;
  const text = `${Buffer.from(ids.bytes(keyBytes)).toString('base64')}\n`;
  createDurableFile({ path, text, mode: fileMode, ids });
  return readMasterKeyFile(path);
}

function parseKey(text: string): MasterKey {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== keyBytes || !/^[A-Za-z0-9+/_-]+=*$/.test(text)) {
    throw new MasterKeyError('a master key is 32 bytes in base64');
  }
  return {
    id: createHash('sha256').update('berth master key id').update(bytes).digest().subarray(0, keyIdBytes),
    bytes,
  };
}

function readIfThere(path: string): MasterKeys | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new MasterKeyError('the master key file cannot be read', { cause });
  }
  try {
    if ((fstatSync(fd).mode & 0o077) !== 0) {
      throw new MasterKeyError('the master key file is open to other users: set its mode to 0600');
    }
    return parseMasterKeys(readFileSync(fd, 'utf8'));
  } finally {
    closeSync(fd);
  }
}
