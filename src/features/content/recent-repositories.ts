import type { Place } from './place.ts';

/** So many are kept: what a busy server changes again and again. */
const most = 2_000;

/** What was last read of each repository that was changed lately. It may be otherwise by now. */
export class RecentRepositories<Facts> {
  readonly #known = new Map<string, Facts>();

  find(place: Place): Facts | undefined {
    const facts = this.#known.get(keyOf(place));
    if (facts !== undefined) this.keep(place, facts);
    return facts;
  }

  keep(place: Place, facts: Facts): void {
    const key = keyOf(place);
    this.#known.delete(key);
    this.#known.set(key, facts);
    const [oldest] = this.#known.keys();
    if (this.#known.size > most && oldest !== undefined) this.#known.delete(oldest);
  }

  forget(place: Place): void {
    this.#known.delete(keyOf(place));
  }
}

function keyOf({ registryUid, repository }: Place): string {
  return `${registryUid}/${repository}`;
}
