import {
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
};

/** What became of a request, by the bucket that decides: the one that refuses, else the one with the least left. */
export type Admission =
  | { readonly isAdmitted: true; readonly limit: ThrottleLimit; readonly remaining: number }
  | { readonly isAdmitted: false; readonly limit: ThrottleLimit; readonly retryAfterMs: number };

export type ThrottleParts = {
  readonly buckets: Buckets;
  readonly table: ThrottleTableName;
  /** How long a bucket that was found empty refuses. */
  readonly pauseMs: number;
};

type Draw = { readonly key: string; readonly limit: ThrottleLimit; readonly rule: BucketRule };

/**
 * Holds requests to the figures of the registry's SKU, where it is switched on; strangers together to those of one identity,
 * always. A refused request takes nothing from any bucket.
 */
export class Throttle {
  readonly #buckets: Buckets;
  readonly #limits: Readonly<Record<ThrottledSku, ThrottleLimits>>;
  readonly #strangers: Readonly<Record<ThrottledSku, ThrottleLimits>>;
  readonly #pauseMicros: number;

  constructor({ buckets, table, pauseMs }: ThrottleParts) {
    this.#buckets = buckets;
    this.#limits = throttleTables[table];
    const { Basic, Standard, Premium } = this.#limits;
    this.#strangers = {
      Basic: strangersLimits(Basic),
      Standard: strangersLimits(Standard),
      Premium: strangersLimits(Premium),
    };
    this.#pauseMicros = pauseMs * 1_000;
  }

  /** Undefined where nothing limits the request; no promise unless the database has to be asked. */
  admit(request: Throttled, requestClass: RequestClass): Admission | Promise<Admission> | undefined {
    const { registry, principal } = request;
    if (!registry.isThrottled && principal?.kind !== 'anonymous') return undefined;
    const limits = (registry.isThrottled ? this.#limits : this.#strangers)[registry.sku][requestClass];
    if (limits.length === 0) return undefined;
    const draws = limits.map((limit) => this.#drawOf(request, limit));
    return this.#drawAll(draws) ?? this.#drawLater(draws);
  }

  #drawOf({ registry, principal }: Throttled, limit: ThrottleLimit): Draw {
    const ofAll = `${registry.uid}/${limit.bucket}`;
    const key = limit.of === 'registry' ? ofAll : `${ofAll}/${principal?.uid}`;
    return { key, limit, rule: { perMinute: limit.perMinute, pauseMicros: this.#pauseMicros } };
  }

  /** Undefined when a bucket has to be fetched first. */
  #drawAll(draws: readonly Draw[]): Admission | undefined {
    let least: (Admission & { readonly isAdmitted: true }) | undefined;
    for (const [index, { key, limit, rule }] of draws.entries()) {
      const taking = this.#buckets.take(key, rule);
      if (taking?.isTaken !== true) {
        for (const taken of draws.slice(0, index)) this.#buckets.giveBack(taken.key, taken.rule);
        return taking && { isAdmitted: false, limit, retryAfterMs: taking.retryAfterMs };
      }
      const { remaining } = taking;
      if (least === undefined || remaining < least.remaining) least = { isAdmitted: true, limit, remaining };
    }
    return least;
  }

  async #drawLater(draws: readonly Draw[]): Promise<Admission> {
    while (true) {
      for (const { key, rule } of draws) await this.#fetchUnlessKnown(key, rule);
      const admission = this.#drawAll(draws);
      if (admission !== undefined) return admission;
    }
  }

  async #fetchUnlessKnown(key: string, rule: BucketRule): Promise<void> {
    const taking = this.#buckets.take(key, rule);
    if (taking === undefined) await this.#buckets.fetch(key, rule);
    else if (taking.isTaken) this.#buckets.giveBack(key, rule);
  }
}
