type Passes = { current: Promise<void>; next: Promise<void> | undefined };
type Step = () => Promise<void>;

/** Work in steps; after each it says that it goes on. */
export type SharedWork = (step: Step) => Promise<void>;

/**
 * Work that many ask for at once and that is the same for all of them: who asks while a pass is under way shares the one after it with
 * all others that ask meanwhile, as the one under way may have looked already at what they mean. By whatever the work is on.
 */
export class SharedPasses<Key extends object> {
  readonly #passes = new WeakMap<Key, Passes>();
  readonly #watching = new WeakMap<Key, Set<Step>>();

  /** `watch` hears of each step from now on, whoever's pass it is of. A fault of it is thrown here in the end, and is nobody else's. */
  async run(key: Key, work: SharedWork, watch: Step = async () => {}): Promise<void> {
    const faults: unknown[] = [];
    const told = async () => {
      if (faults.length === 0) await watch().catch((fault: unknown) => void faults.push(fault));
    };
    const watching = this.#watching.get(key) ?? new Set();
    this.#watching.set(key, watching.add(told));
    try {
      await this.#share(key, () => work(() => this.#step(watching)));
    } finally {
      watching.delete(told);
    }
    if (faults.length > 0) throw faults[0];
  }

  async #step(watching: ReadonlySet<Step>): Promise<void> {
    for (const told of watching) await told();
  }

  async #share(key: Key, work: () => Promise<void>): Promise<void> {
    const passes = this.#passes.get(key);
    if (passes === undefined) return await this.#begin(key, work);
    passes.next ??= passes.current.catch(() => {}).then(() => this.#begin(key, work));
    await passes.next;
  }

  async #begin(key: Key, work: () => Promise<void>): Promise<void> {
    const passes: Passes = { current: work(), next: undefined };
    this.#passes.set(key, passes);
    try {
      await passes.current;
    } finally {
      // What comes next is then what others find.
      if (this.#passes.get(key) === passes && passes.next === undefined) this.#passes.delete(key);
    }
  }
}
