import { addressKey } from '../../core/address-key.ts';
import {
  onlyStrangersLimits,
  type RequestClass,
  strangersLimits,
  type ThrottledSku,
  type ThrottleLimit,
  type ThrottleLimits,
  type ThrottleTableName,
  throttleTables,
} from '../../core/throttle-limits.ts';
import type { BucketRule } from '../../core/token-bucket.ts';
import type { Principal } from '../identity/principal.ts';
import type { Registry } from '../registries/registry.ts';
import type { Buckets } from './buckets.ts';

/** Somebody's request to a registry. */
export type Throttled = {
  readonly registry: Pick<Registry, 'uid' | 'sku' | 'isThrottled'>;
  /** Undefined where only the registry counts. */
  readonly principal: Pick<Principal, 'kind' | 'uid'> | undefined;
  /** Where the request comes from: strangers are counted by it. */
  readonly address: string;
};

/** What became of a request, by the bucket that decides: the one that refuses, else the one with the least left. */
export type Admission =
  | { readonly isAdmitted: true; readonly limit: ThrottleLimit; readonly remaining: number }
  | { readonly isAdmitted: false; readonly limit: ThrottleLimit; readonly retryAfterMs: number };

export type ThrottleParts = {
  readonly buckets: Buckets;
  /** Those of strangers' addresses, of which a flood has many: they drive no other bucket out. */
  readonly addresses: Buckets;
  readonly table: ThrottleTableName;
  /** How long a bucket that was found empty refuses. */
  readonly pauseMs: number;
};

type Draw = {
  readonly buckets: Buckets;
  readonly key: string;
  readonly limit: ThrottleLimit;
  readonly rule: BucketRule;
};

type LimitsBySku = Readonly<Record<ThrottledSku, ThrottleLimits>>;

/**
 * Holds requests to the figures of the registry's SKU, where it is switched on; strangers together to those of one identity,
 * always, and each of their addresses to a part of those. A refused request takes nothing from any bucket.
 */
export class Throttle {
  readonly #buckets: Buckets;
  readonly #addresses: Buckets;
  readonly #limits: LimitsBySku;
  readonly #strangers: LimitsBySku;
  /** Where nobody else is throttled. */
  readonly #onlyStrangers: LimitsBySku;
  readonly #pauseMicros: number;

  constructor({ buckets, addresses, table, pauseMs }: ThrottleParts) {
    this.#buckets = buckets;
    this.#addresses = addresses;
    this.#limits = throttleTables[table];
    this.#strangers = mapSkus(this.#limits, strangersLimits);
    this.#onlyStrangers = mapSkus(this.#limits, onlyStrangersLimits);
    this.#pauseMicros = pauseMs * 1_000;
  }

  /** Undefined where nothing limits the request; no promise unless the database has to be asked. */
  admit(request: Throttled, requestClass: RequestClass): Admission | Promise<Admission> | undefined {
    const limits = this.#limitsOf(request)?.[request.registry.sku][requestClass] ?? [];
    if (limits.length === 0) return undefined;
    const draws = limits.map((limit) => this.#drawOf(request, limit));
    return this.#drawAll(draws) ?? this.#drawLater(draws);
  }

  #limitsOf({ registry, principal }: Throttled): LimitsBySku | undefined {
    const isStranger = principal?.kind === 'anonymous';
    if (registry.isThrottled) return isStranger ? this.#strangers : this.#limits;
    return isStranger ? this.#onlyStrangers : undefined;
  }

  #drawOf({ registry, principal, address }: Throttled, limit: ThrottleLimit): Draw {
    const rule = { perMinute: limit.perMinute, pauseMicros: this.#pauseMicros };
    const ofAll = `${registry.uid}/${limit.bucket}`;
    switch (limit.of) {
      case 'registry':
        return { buckets: this.#buckets, key: ofAll, limit, rule };
      case 'identity':
        return { buckets: this.#buckets, key: `${ofAll}/${principal?.uid}`, limit, rule };
      case 'address':
        return { buckets: this.#addresses, key: `${ofAll}/${addressKey(address)}`, limit, rule };
    }
  }

  /** Undefined when a bucket has to be fetched first. */
  #drawAll(draws: readonly Draw[]): Admission | undefined {
    let least: (Admission & { readonly isAdmitted: true }) | undefined;
    for (const [index, { buckets, key, limit, rule }] of draws.entries()) {
      const taking = buckets.take(key, rule);
      if (taking?.isTaken !== true) {
        for (const taken of draws.slice(0, index)) taken.buckets.giveBack(taken.key, taken.rule);
        return taking && { isAdmitted: false, limit, retryAfterMs: taking.retryAfterMs };
      }
      const { remaining } = taking;
      if (least === undefined || remaining < least.remaining) least = { isAdmitted: true, limit, remaining };
    }
    return least;
  }

  async #drawLater(draws: readonly Draw[]): Promise<Admission> {
    while (true) {
      for (const draw of draws) await fetchUnlessKnown(draw);
      const admission = this.#drawAll(draws);
      if (admission !== undefined) return admission;
    }
  }
}

async function fetchUnlessKnown({ buckets, key, rule }: Draw): Promise<void> {
  const taking = buckets.take(key, rule);
  if (taking === undefined) await buckets.fetch(key, rule);
  else if (taking.isTaken) buckets.giveBack(key, rule);
}

function mapSkus({ Basic, Standard, Premium }: LimitsBySku, change: (limits: ThrottleLimits) => ThrottleLimits) {
  return { Basic: change(Basic), Standard: change(Standard), Premium: change(Premium) };
}
