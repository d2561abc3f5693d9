import { decodeProtectedHeader, errors, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { type Append, type Journal, type NewEvent, tenantStreamOf } from '../../platform/journal/journal.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { createEpochReader, raiseAccessEpoch } from './access-epoch.ts';
import {
  deleteSigningKey,
  findSigningKeys,
  insertSigningKey,
  type KeyPurpose,
  type NewSigningKey,
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
/** Keys that another process made are noticed after this, where nothing else asks for them. */
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
  /** They are as they were at this access epoch, or newer. */
  readonly epoch: number;
};

/** A key that verifies, as it is listed. */
export type ListedSigningKey = Pick<SigningKey, 'kid' | 'createdAtMicros' | 'retiresAtMicros' | 'expiresAtMicros'> & {
  readonly isSigning: boolean;
};

/**
 * Signs and verifies JSON Web Tokens of one purpose with keys kept in the database and replaced every 90 days; the
 * replaced one verifies for a day more. A key made by any process is found by all; one that was revoked raises the access
 * epoch, and whoever says at which epoch a token is looked at is answered by the keys of that epoch or a newer one.
 */
export class SigningKeys {
  readonly #parts: SigningKeysParts;
  #keys: LoadedKeys | undefined;
  #loading: Promise<LoadedKeys> | undefined;
  readonly #readEpoch: () => Promise<number>;

  constructor(parts: SigningKeysParts) {
    this.#parts = parts;
    this.#readEpoch = createEpochReader(parts.database.read, parts.tenantUid);
  }

  get purpose(): KeyPurpose {
    return this.#parts.purpose;
  }

  /** The claims are signed as they are. `epoch` is the current access epoch; it costs a query where the caller has not read it. */
  async sign(claims: JWTPayload, epoch?: number): Promise<string> {
    const { kid, privateKey } = await this.#signingKey(epoch ?? (await this.#readEpoch()));
    return await new SignJWT(claims).setProtectedHeader({ alg: signingAlgorithm, typ: 'JWT', kid }).sign(privateKey);
  }

  /**
   * The claims of a token that one of our keys signed for this issuer and audience and that is valid now; undefined for
   * any other text. Nothing in the header but `kid` is used, and a header with more in it is refused. `epoch` is the newest
   * access epoch that the caller knows: keys revoked until then verify nothing.
   */
  async verify(token: string, { issuer, audience }: Expected, epoch = 0): Promise<JWTPayload | undefined> {
    const key = await this.#keyOf(token, epoch);
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

  /** Whether a token seen before may still be believed: the key that signed it was not revoked until that epoch. */
  stands(keyId: string, epoch: number): boolean | Promise<boolean> {
    const keys = this.#keys;
    if (keys !== undefined && keys.epoch >= epoch && keys.byKid.has(keyId)) return true;
    return this.#keysAt(epoch).then(({ byKid }) => byKid.has(keyId));
  }

  /** Public halves of the keys that verify now, newest first; there is at least one. Source: RFC 7517, section 5. */
  async publicKeys(): Promise<JWK[]> {
    const epoch = await this.#readEpoch();
    await this.#signingKey(epoch);
    const nowMicros = this.#parts.clock.nowMicros();
    return [...(await this.#keysAt(epoch)).byKid.values()]
      .filter((key) => key.expiresAtMicros > nowMicros)
      .map(({ kid, publicJwk }) => ({ ...publicJwk, kid, use: 'sig', alg: signingAlgorithm }));
  }

  /** Newest first. */
  async list(): Promise<ListedSigningKey[]> {
    const { byKid, signing } = await this.#load(await this.#readEpoch());
    return [...byKid.values()].map(({ kid, createdAtMicros, retiresAtMicros, expiresAtMicros }) => {
      return { kid, createdAtMicros, retiresAtMicros, expiresAtMicros, isSigning: kid === signing?.kid };
    });
  }

  /**
   * Signs with a new key from now on; tokens signed by the one before stay valid. Other processes follow in a minute. Answers
   * the id of the new key.
   */
  async rotate(actor: string): Promise<string> {
    const kid = await this.#create(actor);
    await this.#load(await this.#readEpoch());
    return kid;
  }

  /**
   * Every token that this key signed is refused from the next request on, on every process; a new key signs where it did.
   * Answers false when there is no such key.
   */
  async revoke(kid: string, actor: string): Promise<boolean> {
    const { ids, sealer, purpose, journal, tenantUid } = this.#parts;
    const successor = await newSigningKey(ids, sealer);
    const isRevoked = await journal.transaction(async (tx, append) => {
      await raiseAccessEpoch(tx, tenantUid);
      const newestAtMicros = await newestCreation(tx, purpose);
      const createdAtMicros = await deleteSigningKey(tx, purpose, kid);
      if (createdAtMicros === undefined) return false;
      append(this.#event('signingKey.revoked', actor, { kid }));
      if (createdAtMicros === newestAtMicros) await this.#insert(tx, append, successor, actor);
      return true;
    });
    await this.#load(await this.#readEpoch());
    return isRevoked;
  }

  async #signingKey(epoch: number): Promise<NonNullable<LoadedKeys['signing']>> {
    const usable = (keys: LoadedKeys) =>
      keys.signing !== undefined && keys.signing.retiresAtMicros > this.#parts.clock.nowMicros()
        ? keys.signing
        : undefined;
    const known = usable(await this.#keysAt(epoch)) ?? usable(await this.#load(epoch));
    if (known !== undefined) return known;
    await this.#create('installation');
    const created = usable(await this.#load(epoch));
    if (created === undefined) throw new Error('a signing key just made is not in the database');
    return created;
  }

  async #keyOf(token: string, epoch: number): Promise<SigningKey | undefined> {
    const kid = keyIdOf(token);
    if (kid === undefined) return undefined;
    const keys = await this.#keysAt(epoch);
    const key = keys.byKid.get(kid) ?? (await this.#reload(keys)).byKid.get(kid);
    return key !== undefined && key.expiresAtMicros > this.#parts.clock.nowMicros() ? key : undefined;
  }

  async #keysAt(epoch: number): Promise<LoadedKeys> {
    const keys = this.#keys;
    const isFresh = keys !== undefined && this.#parts.clock.monotonicMs() - keys.loadedAtMs < keepKeysMs;
    if (isFresh && keys.epoch >= epoch) return keys;
    const loaded = await this.#load(epoch);
    // A load that was under way may have begun before the epoch was raised; the next one has not.
    return loaded.epoch >= epoch ? loaded : await this.#load(epoch);
  }

  /** A made-up key id costs a share of one query a second: everyone who brings one waits for the same load. */
  async #reload(known: LoadedKeys): Promise<LoadedKeys> {
    const waitMs = known.loadedAtMs + reloadEveryMs - this.#parts.clock.monotonicMs();
    if (waitMs > 0) await this.#parts.clock.sleep(waitMs);
    return this.#keys === known || this.#keys === undefined ? await this.#load(known.epoch) : this.#keys;
  }

  /** `epoch` has been read before: what is loaded now is of it, or newer. */
  #load(epoch: number): Promise<LoadedKeys> {
    this.#loading ??= this.#read(Math.max(epoch, this.#keys?.epoch ?? 0))
      .then((keys) => {
        this.#keys = keys;
        return keys;
      })
      .finally(() => {
        this.#loading = undefined;
      });
    return this.#loading;
  }

  async #read(epoch: number): Promise<LoadedKeys> {
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
      epoch,
    };
  }

  async #create(actor: string): Promise<string> {
    const { ids, sealer, journal } = this.#parts;
    const key = await newSigningKey(ids, sealer);
    await journal.transaction((tx, append) => this.#insert(tx, append, key, actor));
    return key.kid;
  }

  async #insert(tx: Transaction, append: Append, key: NewSigningKey, actor: string): Promise<void> {
    const { purpose, clock } = this.#parts;
    const nowMicros = clock.nowMicros();
    const retiresAtMicros = nowMicros + signsForMicros;
    const expiresAtMicros = retiresAtMicros + keyOverlapSeconds * 1_000_000;
    // The newest signs, so it is the newest even where the wall clock has stood still or gone back.
    const createdAtMicros = Math.max(nowMicros, (await newestCreation(tx, purpose)) + 1);
    const times = { createdAtMicros, retiresAtMicros, expiresAtMicros };
    await insertSigningKey(tx, key, { purpose, ...times });
    append(this.#event('signingKey.created', actor, { kid: key.kid, publicJwk: key.publicJwk, ...times }));
  }

  #event(type: string, actor: string, data: Readonly<Record<string, unknown>>): NewEvent {
    const { purpose, tenantUid } = this.#parts;
    return { stream: tenantStreamOf(tenantUid), type, version: 1, actor, data: { purpose, ...data } };
  }
}

/** The key id of a token whose header is exactly ours; undefined for any other text. */
export function keyIdOf(token: string): string | undefined {
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
