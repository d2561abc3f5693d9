/** More than any installation has at once. */
const maxBuckets = 20_000;

/** What a process knows of buckets, by key. Beyond 20,000 the one that was set longest ago is forgotten. */
export class RecentBuckets<T> {
  readonly #buckets = new Map<string, T>();

  get(key: string): T | undefined {
    return this.#buckets.get(key);
  }

  set(key: string, bucket: T): void {
    // Deleted first, so that it comes last.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    const oldest = this.#buckets.size > maxBuckets ? this.#buckets.keys().next().value : undefined;
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
