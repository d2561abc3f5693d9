import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Log } from '../../platform/log.ts';
import { type MetricName, startOf } from './metric.ts';
import { addValues, joined, type MinuteValue } from './metric-store.ts';
import { RegistryTotals, type ToldRegistry } from './registry-totals.ts';

export type RegistryMetricsParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** All there are, in the same order in every process: the first of them are told by name. */
  readonly registries: () => readonly { readonly uid: string; readonly name: string }[];
  /** So many of them. */
  readonly metricsRegistries: number;
};

/** Notes something measured, in the metric's unit: a whole number. Never waits and never throws. */
export type Measure = (registryUid: string, metric: MetricName, value: number) => void;

const flushMs = 10_000;
/** While the database cannot be had no more are kept: the newest are then left out. */
const maxPending = 20_000;

/**
 * Counts what registries are used for: in memory since the start of the process, and by the minute in the database, where all
 * processes add theirs every ten seconds. A process that is killed loses what it has not added.
 */
export class RegistryMetrics {
  readonly #parts: RegistryMetricsParts;
  readonly #totals: RegistryTotals;
  readonly #stop = new AbortController();
  #pending = new Map<string, MinuteValue>();
  #timer: Promise<void> | undefined;

  constructor(parts: RegistryMetricsParts) {
    this.#parts = parts;
    this.#totals = new RegistryTotals(parts.metricsRegistries);
  }

  readonly add: Measure = (registryUid, metric, value) => {
    this.#totals.add(registryUid, metric, value);
    const atMicros = startOf(60, this.#parts.clock.nowMicros());
    this.#keep({ registryUid, metric, atMicros, total: value, count: 1, minimum: value, maximum: value });
    this.#timer ??= this.#flushLater();
  };

  /** Of this process since its start. */
  told(): readonly ToldRegistry[] {
    return this.#totals.tell(this.#parts.registries());
  }

  async flush(): Promise<void> {
    const pending = this.#pending;
    if (pending.size === 0) return;
    this.#pending = new Map();
    try {
      await this.#parts.database.transaction((tx) => addValues(tx, [...pending.values()]), { mayBeLost: true });
    } catch (error) {
      for (const value of pending.values()) this.#keep(value);
      throw error;
    }
  }

  /** Adds what is left. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#timer;
    await this.#tryFlush();
  }

  #keep(value: MinuteValue): void {
    const key = `${value.registryUid} ${value.metric} ${value.atMicros}`;
    const known = this.#pending.get(key);
    if (known !== undefined) this.#pending.set(key, { ...value, ...joined(known, value) });
    else if (this.#pending.size < maxPending) this.#pending.set(key, value);
  }

  async #flushLater(): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#stop;
    await clock.sleep(flushMs, signal).catch(() => {
      // Closing ends the wait, and flushes.
    });
    if (!signal.aborted) await this.#tryFlush();
    // Where nobody reads the metrics too, registries that are gone leave the memory.
    this.told();
    this.#timer = undefined;
    if (!signal.aborted && this.#pending.size > 0) this.#timer = this.#flushLater();
  }

  async #tryFlush(): Promise<void> {
    await this.flush().catch((error: unknown) => this.#parts.log.warn('metrics not written', { error }));
  }
}
