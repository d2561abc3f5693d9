import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';

const keepMs = 60 * 60_000;
/** An unknown key id makes the keys be fetched again, at most this often. */
const refetchMs = 60_000;
/** An issuer that gave no keys is not asked again before. */
const pauseMs = 10_000;
const maxIssuers = 1_000;
const maxDocumentBytes = 256 * 1024;
const timeoutMs = 10_000;

const discoverySchema = z.object({ issuer: z.string(), jwks_uri: z.string() });
const keySetSchema = z.object({
  keys: z.array(z.looseObject({ kty: z.string(), kid: z.string().exactOptional() })).max(200),
});

type Kept = { readonly kids: ReadonlySet<string>; readonly verifyKey: JWTVerifyGetKey; readonly fetchedAtMs: number };

/**
 * Keys of issuers that federated credentials trust, fetched through the outbound gateway and kept for an hour. Only issuers
 * that somebody trusts are ever asked for. Source: OpenID Connect Discovery, section 4.
 */
export class OutsideIssuers {
  readonly #outbound: Pick<Outbound, 'call'>;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();
  readonly #fetches = new Map<string, Promise<Kept>>();
  /** Monotonic times in milliseconds of the last failure. */
  readonly #failures = new Map<string, number>();

  constructor(outbound: Pick<Outbound, 'call'>, clock: Clock) {
    this.#outbound = outbound;
    this.#clock = clock;
  }

  /** For jose. Throws `assertionInvalid` when the issuer cannot be asked. */
  async keysOf(issuer: string, kid: string | undefined): Promise<JWTVerifyGetKey> {
    const kept = this.#kept.get(issuer);
    const ageMs = kept === undefined ? Number.POSITIVE_INFINITY : this.#clock.monotonicMs() - kept.fetchedAtMs;
    const isKnown = kept !== undefined && (kid === undefined || kept.kids.has(kid));
    if (kept !== undefined && ageMs < (isKnown ? keepMs : refetchMs)) return kept.verifyKey;
    const failedAtMs = this.#failures.get(issuer) ?? Number.NEGATIVE_INFINITY;
    if (this.#clock.monotonicMs() - failedAtMs < pauseMs) throw unreachable();
    const { verifyKey } = await (this.#fetches.get(issuer) ?? this.#fetch(issuer));
    return verifyKey;
  }

  #fetch(issuer: string): Promise<Kept> {
    const fetching = this.#read(issuer)
      .then((kept) => {
        this.#failures.delete(issuer);
        putNewest(this.#kept, issuer, kept);
        return kept;
      })
      .catch((cause) => {
        putNewest(this.#failures, issuer, this.#clock.monotonicMs());
        throw unreachable(cause);
      })
      .finally(() => this.#fetches.delete(issuer));
    this.#fetches.set(issuer, fetching);
    return fetching;
  }

  async #read(issuer: string): Promise<Kept> {
    const fetchedAtMs = this.#clock.monotonicMs();
    const base = issuer.endsWith('/') ? issuer.slice(0, -1) : issuer;
    const discovery = discoverySchema.parse(await this.#json(`${base}/.well-known/openid-configuration`));
    if (discovery.issuer !== issuer) throw new Error('the discovery document names another issuer');
    if (issuer.startsWith('https:') && !discovery.jwks_uri.startsWith('https:'))
      throw new Error('the keys of the issuer are not behind TLS');
    const { keys } = keySetSchema.parse(await this.#json(discovery.jwks_uri));
    const set: JSONWebKeySet = { keys };
    return {
      kids: new Set(keys.flatMap(({ kid }) => (kid === undefined ? [] : [kid]))),
      verifyKey: createLocalJWKSet(set),
      fetchedAtMs,
    };
  }

  async #json(url: string): Promise<unknown> {
    const answer = await this.#outbound.call({
      url,
      headers: { accept: 'application/json' },
      maxBytes: maxDocumentBytes,
      totalTimeoutMs: timeoutMs,
    });
    if (answer.status !== 200) {
      await answer.discard();
      throw new Error(`the issuer answered ${answer.status}`);
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  }
}

function putNewest<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.size > maxIssuers ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}

function unreachable(cause?: unknown): BerthError {
  return new BerthError('assertionInvalid', 'the keys of the issuer cannot be fetched', { cause });
}
