type Passes = { current: Promise<void>; next: Promise<void> | undefined };

/**
 * Work that many ask for at once and that is the same for all of them: who asks while a pass is under way shares the one after it with
 * all others that ask meanwhile, as the one under way may have looked already at what they mean. By whatever the work is on.
 */
export class SharedPasses<Key extends object> {
  readonly #passes = new WeakMap<Key, Passes>();

  async run(key: Key, work: () => Promise<void>): Promise<void> {
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
