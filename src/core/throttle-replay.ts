import { addressKey } from './address-key.ts';
import {
  type RequestClass,
  strangersLimits,
  type ThrottledSku,
  type ThrottleLimit,
  type ThrottleLimits,
  type ThrottleTableName,
  throttledSkus,
  throttleTables,
} from './throttle-limits.ts';
import { type Bucket, drawFrom, fullBucket, giveBackTo } from './token-bucket.ts';

/** A request that was let in, as a log tells of it. */
export type PastRequest = {
  readonly atMicros: number;
  /** Name of the registry. */
  readonly registry: string;
  /** Uid of the identity; empty for an exchange of tokens. */
  readonly identity: string;
  readonly requestClass: RequestClass;
  /** Where a stranger's request came from; undefined for somebody who signed in. */
  readonly strangersAddress?: string;
};

/** What one identity sent of one class, or with an empty identity everybody of a registry. */
export type PastLoad = {
  readonly registry: string;
  readonly identity: string;
  readonly requestClass: RequestClass;
  readonly requests: number;
  /** Most requests in any 60 seconds. */
  readonly peak: number;
  /** What would have been refused for each SKU, and by which limits. */
  readonly refused: Readonly<Record<ThrottledSku, number>>;
  readonly by: Readonly<Record<ThrottledSku, readonly ThrottleLimit[]>>;
};

const minuteMicros = 60_000_000;

type LimitsBySku = Readonly<Record<ThrottledSku, ThrottleLimits>>;

/** Sends requests of the past through the buckets of every SKU. They come in the order of time, nearly. */
export class ThrottleReplay {
  readonly #limits: LimitsBySku;
  readonly #strangers: LimitsBySku;
  readonly #pauseMicros: number;
  readonly #buckets = new Map<string, Bucket>();
  readonly #loads = new Map<string, Load>();
  #latestMicros = 0;

  constructor({ table, pauseMs }: { readonly table: ThrottleTableName; readonly pauseMs: number }) {
    const { Basic, Standard, Premium } = throttleTables[table];
    this.#limits = throttleTables[table];
    this.#strangers = {
      Basic: strangersLimits(Basic),
      Standard: strangersLimits(Standard),
      Premium: strangersLimits(Premium),
    };
    this.#pauseMicros = pauseMs * 1_000;
  }

  add(request: PastRequest): void {
    this.#latestMicros = Math.max(this.#latestMicros, request.atMicros);
    const own = this.#loadOf(request, request.identity);
    const all = request.identity === '' ? own : this.#loadOf(request, '');
    for (const load of new Set([own, all])) load.count(this.#latestMicros);
    for (const sku of throttledSkus) {
      const limit = this.#refusedBy(request, sku);
      if (limit !== undefined) for (const load of new Set([own, all])) load.refuse(sku, limit);
    }
  }

  /** By registry, everybody first, then by identity. */
  loads(): readonly PastLoad[] {
    const keys = [...this.#loads.keys()].sort();
    return keys.flatMap((key) => this.#loads.get(key)?.result() ?? []);
  }

  #loadOf({ registry, requestClass }: PastRequest, identity: string): Load {
    const key = JSON.stringify([registry, identity, requestClass]);
    const known = this.#loads.get(key);
    if (known !== undefined) return known;
    const load = new Load({ registry, identity, requestClass });
    this.#loads.set(key, load);
    return load;
  }

  /** The limit that refuses the request; it then takes nothing from the others. */
  #refusedBy(request: PastRequest, sku: ThrottledSku): ThrottleLimit | undefined {
    const undo: (() => void)[] = [];
    const { registry, requestClass, strangersAddress } = request;
    const limits = strangersAddress === undefined ? this.#limits : this.#strangers;
    for (const limit of limits[sku][requestClass]) {
      const key = JSON.stringify([sku, registry, limit.bucket, limit.of, holderOf(limit, request)]);
      const rule = { perMinute: limit.perMinute, pauseMicros: this.#pauseMicros };
      const nowMicros = this.#latestMicros;
      const { bucket, drawn } = drawFrom(this.#buckets.get(key) ?? fullBucket(rule, nowMicros), rule, nowMicros, 1);
      this.#buckets.set(key, bucket);
      if (drawn === 0) {
        for (const giveBack of undo) giveBack();
        return limit;
      }
      undo.push(() => this.#buckets.set(key, giveBackTo(bucket, rule, 1)));
    }
    return undefined;
  }
}

/** Whose bucket it is, among those of its kind. */
function holderOf({ of }: ThrottleLimit, { identity, strangersAddress = '' }: PastRequest): string {
  if (of === 'address') return addressKey(strangersAddress);
  return of === 'identity' ? identity : '';
}

class Load {
  readonly #of: Pick<PastLoad, 'registry' | 'identity' | 'requestClass'>;
  readonly #refused: Record<ThrottledSku, number> = { Basic: 0, Standard: 0, Premium: 0 };
  readonly #by: Record<ThrottledSku, Set<ThrottleLimit>> = {
    Basic: new Set(),
    Standard: new Set(),
    Premium: new Set(),
  };
  /** Times of the last minute, oldest first from `#start` on. */
  #times: number[] = [];
  #start = 0;
  #requests = 0;
  #peak = 0;

  constructor(of: Pick<PastLoad, 'registry' | 'identity' | 'requestClass'>) {
    this.#of = of;
  }

  count(atMicros: number): void {
    this.#requests += 1;
    this.#times.push(atMicros);
    while ((this.#times[this.#start] ?? atMicros) <= atMicros - minuteMicros) this.#start += 1;
    this.#peak = Math.max(this.#peak, this.#times.length - this.#start);
    if (this.#start < 10_000) return;
    this.#times = this.#times.slice(this.#start);
    this.#start = 0;
  }

  refuse(sku: ThrottledSku, limit: ThrottleLimit): void {
    this.#refused[sku] += 1;
    this.#by[sku].add(limit);
  }

  result(): PastLoad {
    const { Basic, Standard, Premium } = this.#by;
    const by = { Basic: [...Basic], Standard: [...Standard], Premium: [...Premium] };
    return { ...this.#of, requests: this.#requests, peak: this.#peak, refused: this.#refused, by };
  }
}
