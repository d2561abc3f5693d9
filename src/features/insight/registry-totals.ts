import { type MetricName, metricNames } from './metric.ts';

type Registry = { readonly uid: string; readonly name: string };
type Totals = Record<MetricName, number>;

/** One registry, or those that are told together. */
export type ToldRegistry = {
  readonly name: string;
  /** Uids of what is told under the name. */
  readonly uids: readonly string[];
  readonly total: (metric: MetricName) => number;
};

/** No name of a registry: those have letters and digits only. */
export const othersName = '_others';

/**
 * What registries are used for since the start of the process. Only the first `limit` of them are told by name, the others together:
 * each series costs whoever stores it. Once told with the others, a registry stays there until the process ends, also when it is
 * deleted: what is added up never becomes less.
 */
export class RegistryTotals {
  readonly #limit: number;
  readonly #totals = new Map<string, Totals>();
  readonly #named = new Set<string>();
  readonly #others = new Set<string>();
  readonly #ofOthers: Totals = noTotals();

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(registryUid: string, metric: MetricName, value: number): void {
    this.#of(registryUid)[metric] += value;
  }

  /** Those of `registries`, which are all there are. What was counted for registries that are gone is let go. */
  tell(registries: readonly Registry[]): readonly ToldRegistry[] {
    this.#fit(registries);
    const named = registries
      .filter(({ uid }) => this.#named.has(uid))
      .map(({ uid, name }) => ({
        name,
        uids: [uid],
        total: (metric: MetricName) => this.#totals.get(uid)?.[metric] ?? 0,
      }));
    const others = { name: othersName, uids: [...this.#others], total: (metric: MetricName) => this.#ofOthers[metric] };
    return this.#others.size > 0 || metricNames.some((metric) => this.#ofOthers[metric] > 0)
      ? [...named, others]
      : named;
  }

  #of(registryUid: string): Totals {
    if (this.#others.has(registryUid)) return this.#ofOthers;
    const totals = this.#totals.get(registryUid) ?? noTotals();
    this.#totals.set(registryUid, totals);
    return totals;
  }

  #fit(registries: readonly Registry[]): void {
    const present = new Set(registries.map(({ uid }) => uid));
    for (const known of [this.#totals, this.#named, this.#others])
      for (const uid of known.keys()) if (!present.has(uid)) known.delete(uid);
    for (const uid of present) {
      if (this.#named.has(uid) || this.#others.has(uid)) continue;
      if (this.#named.size < this.#limit) this.#named.add(uid);
      else this.#join(uid);
    }
  }

  #join(uid: string): void {
    const totals = this.#totals.get(uid) ?? noTotals();
    for (const metric of metricNames) this.#ofOthers[metric] += totals[metric];
    this.#totals.delete(uid);
    this.#others.add(uid);
  }
}

function noTotals(): Totals {
  return {
    StorageUsed: 0,
    TotalPullCount: 0,
    SuccessfulPullCount: 0,
    TotalPushCount: 0,
    SuccessfulPushCount: 0,
    RunDuration: 0,
    AgentPoolCPUTime: 0,
  };
}
