import { decodeProtectedHeader, errors, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import {
  findSigningKeys,
  insertSigningKey,
  type KeyPurpose,
  newestCreation,
  newSigningKey,
  openPrivateKey,
  type SigningKey,
  signingAlgorithm,
} from './signing-key-store.ts';

const dayMicros = 24 * 60 * 60 * 1_000_000;
const signsForMicros = 90 * dayMicros;
/** A key verifies for this much longer than it signs, in seconds: no token may live longer. */
export const keyOverlapSeconds = 24 * 60 * 60;
/** Difference between clocks that `exp` and `nbf` forgive, in seconds. */
export const clockSkewSeconds = 60;
/** Keys that another process retired early are noticed after this. */
const keepKeysMs = 60_000;
/** An unknown key id makes the keys be loaded again, at most this often. */
const reloadEveryMs = 1000;
const maxTokenLength = 8192;

export type SigningKeysParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
  readonly tenantUid: string;
  readonly purpose: KeyPurpose;
};

export type Expected = { readonly issuer: string; readonly audience: string };

type LoadedKeys = {
  readonly byKid: ReadonlyMap<string, SigningKey>;
  readonly signing:
    | { readonly kid: string; readonly privateKey: CryptoKey; readonly retiresAtMicros: number }
    | undefined;
  readonly loadedAtMs: number;
};

/**
 * Signs and verifies JSON Web Tokens of one purpose with keys kept in the database and replaced every 90 days; the
 * replaced one verifies for a day more. A key made by any process is found by all.
 */
export class SigningKeys {
  readonly #parts: SigningKeysParts;
  #keys: LoadedKeys | undefined;
  #loading: Promise<LoadedKeys> | undefined;

  constructor(parts: SigningKeysParts) {
    this.#parts = parts;
  }

  /** The claims are signed as they are. */
  async sign(claims: JWTPayload): Promise<string> {
    const { kid, privateKey } = await this.#signingKey();
    return await new SignJWT(claims).setProtectedHeader({ alg: signingAlgorithm, typ: 'JWT', kid }).sign(privateKey);
  }

  /**
   * The claims of a token that one of our keys signed for this issuer and audience and that is valid now; undefined for
   * any other text. Nothing in the header but `kid` is used, and a header with more in it is refused.
   */
  async verify(token: string, { issuer, audience }: Expected): Promise<JWTPayload | undefined> {
    const key = await this.#keyOf(token);
    if (key === undefined) return undefined;
    try {
      const { payload } = await jwtVerify(token, key.publicKey, {
        algorithms: [signingAlgorithm],
        issuer,
        audience,
        requiredClaims: ['exp', 'nbf', 'iat'],
        clockTolerance: clockSkewSeconds,
        currentDate: new Date(this.#parts.clock.nowMicros() / 1000),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }

  /** Public halves of the keys that verify now, newest first; there is at least one. Source: RFC 7517, section 5. */
  async publicKeys(): Promise<JWK[]> {
    await this.#signingKey();
    const nowMicros = this.#parts.clock.nowMicros();
    return [...(await this.#freshKeys()).byKid.values()]
      .filter((key) => key.expiresAtMicros > nowMicros)
      .map(({ kid, publicJwk }) => ({ ...publicJwk, kid, use: 'sig', alg: signingAlgorithm }));
  }

  /** Signs with a new key from now on; tokens signed by the one before stay valid. Other processes follow in a minute. */
  async rotate(actor: string): Promise<void> {
    await this.#create(actor);
    await this.#load();
  }

  async #signingKey(): Promise<NonNullable<LoadedKeys['signing']>> {
    const usable = (keys: LoadedKeys) =>
      keys.signing !== undefined && keys.signing.retiresAtMicros > this.#parts.clock.nowMicros()
        ? keys.signing
        : undefined;
    const known = usable(await this.#freshKeys()) ?? usable(await this.#load());
    if (known !== undefined) return known;
    await this.#create('installation');
    const created = usable(await this.#load());
    if (created === undefined) throw new Error('a signing key just made is not in the database');
    return created;
  }

  async #keyOf(token: string): Promise<SigningKey | undefined> {
    const kid = kidOf(token);
    if (kid === undefined) return undefined;
    const keys = await this.#freshKeys();
    const key = keys.byKid.get(kid) ?? (await this.#reload(keys)).byKid.get(kid);
    return key !== undefined && key.expiresAtMicros > this.#parts.clock.nowMicros() ? key : undefined;
  }

  async #freshKeys(): Promise<LoadedKeys> {
    const keys = this.#keys;
    const isFresh = keys !== undefined && this.#parts.clock.monotonicMs() - keys.loadedAtMs < keepKeysMs;
    return isFresh ? keys : await this.#load();
  }

  /** A made-up key id costs a share of one query a second: everyone who brings one waits for the same load. */
  async #reload(known: LoadedKeys): Promise<LoadedKeys> {
    const waitMs = known.loadedAtMs + reloadEveryMs - this.#parts.clock.monotonicMs();
    if (waitMs > 0) await this.#parts.clock.sleep(waitMs);
    return this.#keys === known || this.#keys === undefined ? await this.#load() : this.#keys;
  }

  #load(): Promise<LoadedKeys> {
    this.#loading ??= this.#read()
      .then((keys) => {
        this.#keys = keys;
        return keys;
      })
      .finally(() => {
        this.#loading = undefined;
      });
    return this.#loading;
  }

  async #read(): Promise<LoadedKeys> {
    const { database, sealer, purpose, clock } = this.#parts;
    const loadedAtMs = clock.monotonicMs();
    const keys = await findSigningKeys(database.read, purpose, clock.nowMicros());
    const newest = keys[0];
    return {
      byKid: new Map(keys.map((key) => [key.kid, key])),
      signing: newest && {
        kid: newest.kid,
        privateKey: await openPrivateKey(sealer, newest),
        retiresAtMicros: newest.retiresAtMicros,
      },
      loadedAtMs,
    };
  }

  async #create(actor: string): Promise<void> {
    const { ids, sealer, purpose, clock, journal, tenantUid } = this.#parts;
    const key = await newSigningKey(ids, sealer);
    const nowMicros = clock.nowMicros();
    const retiresAtMicros = nowMicros + signsForMicros;
    const expiresAtMicros = retiresAtMicros + keyOverlapSeconds * 1_000_000;
    await journal.transaction(async (tx, append) => {
      // The newest signs, so it is the newest even where the wall clock has stood still or gone back.
      const createdAtMicros = Math.max(nowMicros, (await newestCreation(tx, purpose)) + 1);
      await insertSigningKey(tx, key, { purpose, createdAtMicros, retiresAtMicros, expiresAtMicros });
      append({
        stream: tenantStreamOf(tenantUid),
        type: 'signingKey.created',
        version: 1,
        actor,
        data: { kid: key.kid, purpose, publicJwk: key.publicJwk, createdAtMicros, retiresAtMicros, expiresAtMicros },
      });
    });
  }
}

/** The key id of a token whose header is exactly ours; undefined for any other text. */
function kidOf(token: string): string | undefined {
  if (token.length > maxTokenLength) return undefined;
  try {
    const { alg, typ, kid, ...others } = decodeProtectedHeader(token);
    const isOurs = alg === signingAlgorithm && typ === 'JWT' && Object.keys(others).length === 0;
    return isOurs && kid !== undefined && /^[a-z0-9]{26}$/.test(kid) ? kid : undefined;
  } catch {
    // Not a JSON Web Signature at all: refused like a forged one.
    return undefined;
  }
}
