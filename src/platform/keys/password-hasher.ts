import { scrypt as scryptCallback, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Ids } from '../ids.ts';
import { Turns } from '../turns.ts';
import { isSecretHash } from './secret-hash.ts';

const scrypt = promisify<string, Uint8Array, number, Cost, Buffer>(scryptCallback);

type Cost = { readonly N: number; readonly r: number; readonly p: number; readonly maxmem: number };
/** About 0.1 s and 32 MiB each. */
const cost: Cost = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const hashBytes = 32;
const saltBytes = 16;
const verifierPattern = /^scrypt\$(\d+)\$(\d+)\$(\d+)\$([\w-]+)\$([\w-]+)$/;

/** Each takes a thread and a core for about 0.1 s: more at once would stop everything else. */
const limits = { running: 2, /** About two seconds of work. */ waiting: 32, retryAfterSeconds: 2 };

/**
 * What people choose as passwords, hashed with scrypt behind a queue of 2. A verifier is `scrypt$N$r$p$salt$hash`, salt and
 * hash in base64url. Both throw `tooManyRequests` when too many wait.
 */
export type PasswordHasher = {
  readonly hash: (password: string) => Promise<string>;
  /**
   * Without a verifier (nobody has that name) it takes as long as with one, and answers false. False at once for the verifier
   * of a generated secret, which `verifySecret` compares.
   */
  readonly verify: (password: string, verifier: string | undefined) => Promise<boolean>;
};

export function createPasswordHasher(ids: Ids): PasswordHasher {
  const queue = new Turns(limits);
  const derive = (password: string, salt: Uint8Array, parameters: Cost) =>
    queue.run(() => scrypt(password, salt, hashBytes, parameters));
  return {
    hash: async (password) => {
      const salt = ids.bytes(saltBytes);
      const hash = await derive(password, salt, cost);
      return ['scrypt', cost.N, cost.r, cost.p, encode(salt), encode(hash)].join('$');
    },
    verify: async (password, verifier) => {
      if (verifier === undefined) {
        await derive(password, ids.bytes(saltBytes), cost);
        return false;
      }
      if (isSecretHash(verifier)) return false;
      const { salt, hash, parameters } = parseVerifier(verifier);
      const actual = await derive(password, salt, parameters);
      return actual.length === hash.length && timingSafeEqual(actual, hash);
    },
  };
}

function parseVerifier(verifier: string): { salt: Buffer; hash: Buffer; parameters: Cost } {
  const [, N, r, p, salt, hash] = verifierPattern.exec(verifier) ?? [];
  if (salt === undefined || hash === undefined) throw new Error('malformed password verifier');
  return { salt: decode(salt), hash: decode(hash), parameters: { ...cost, N: Number(N), r: Number(r), p: Number(p) } };
}

function encode(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function decode(text: string): Buffer {
  return Buffer.from(text, 'base64url');
}
