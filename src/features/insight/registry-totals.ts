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
 * each series costs whoever stores it. Which these are is a matter of the registries alone, not of when the process began to count, so
 * that what all processes tell can be added up. What was once added up with the others stays there, also when its registry is
 * told by name from then on, or deleted: it never becomes less.
 */
export class RegistryTotals {
  readonly #limit: number;
  readonly #totals = new Map<string, Totals>();
  #others: ReadonlySet<string> = new Set();
  readonly #ofOthers: Totals = noTotals();

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(registryUid: string, metric: MetricName, value: number): void {
    this.#of(registryUid)[metric] += value;
  }

  /** Those of `registries`, which are all there are, in the same order in every process. What was counted for others is let go. */
  tell(registries: readonly Registry[]): readonly ToldRegistry[] {
    const named = registries.slice(0, this.#limit);
    this.#fit(named, registries.slice(this.#limit));
    const told = named.map(({ uid, name }) => ({
      name,
      uids: [uid],
      total: (metric: MetricName) => this.#totals.get(uid)?.[metric] ?? 0,
    }));
    const others = { name: othersName, uids: [...this.#others], total: (metric: MetricName) => this.#ofOthers[metric] };
    return this.#others.size > 0 || metricNames.some((metric) => this.#ofOthers[metric] > 0) ? [...told, others] : told;
  }

  #of(registryUid: string): Totals {
    if (this.#others.has(registryUid)) return this.#ofOthers;
    const totals = this.#totals.get(registryUid) ?? noTotals();
    this.#totals.set(registryUid, totals);
    return totals;
  }

  #fit(named: readonly Registry[], others: readonly Registry[]): void {
    this.#others = new Set(others.map(({ uid }) => uid));
    const kept = new Set(named.map(({ uid }) => uid));
    for (const [uid, totals] of this.#totals) {
      if (kept.has(uid)) continue;
      this.#totals.delete(uid);
      if (this.#others.has(uid)) for (const metric of metricNames) this.#ofOthers[metric] += totals[metric];
    }
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
