/** Shorter texts are too common to hide: every other letter of the log would go. */
const minSecretLength = 4;
/** So much of a secret's beginning is a secret by itself. */
const maxHeadLength = 256;

/**
 * Finds many secrets at once in a text that comes letter by letter, in time that grows with the text alone, however many they
 * are. Lines of a secret are secrets too, as programs print them one by one; of a long one its first 256 letters, and each
 * longer beginning. A state is a number: where one text stands; 0 before its first letter. Source: Aho and Corasick, 1975.
 */
export class SecretFinder {
  /** By state: the one before its last letter, that letter, and how many letters led to it. */
  readonly #parents: Int32Array;
  readonly #letters: Uint16Array;
  readonly #depths: Int32Array;
  /** By state: where its end alone would stand, the longest such; and the length of the longest secret that ends here. */
  readonly #suffixes: Int32Array;
  readonly #found: Int32Array;
  /** States by their parent and letter: a hash table with open addresses. */
  readonly #table: Int32Array;
  #count = 1;

  constructor(secrets: readonly string[]) {
    const texts = textsOf(secrets);
    const size = texts.reduce((sum, text) => sum + text.length, 1);
    this.#parents = new Int32Array(size);
    this.#letters = new Uint16Array(size);
    this.#depths = new Int32Array(size);
    this.#suffixes = new Int32Array(size);
    this.#found = new Int32Array(size);
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(size * 2)));
    for (const text of texts) this.#add(text);
    for (const state of this.#byDepth()) this.#link(state);
  }

  /** Where the text stands after one more letter (UTF-16). */
  next(state: number, letter: number): number {
    for (let at = state; ; at = this.#suffixes[at] ?? 0) {
      const found = this.#table[this.#slotOf(at, letter)] ?? 0;
      if (found !== 0 || at === 0) return found;
    }
  }

  /** The length of the longest secret that ends here; 0 for none. */
  foundLength(state: number): number {
    return this.#found[state] ?? 0;
  }

  /** How many of the last letters may become a secret, or a longer one. */
  begunLength(state: number): number {
    return this.#depths[state] ?? 0;
  }

  #add(text: string): void {
    let state = 0;
    for (let at = 0; at < text.length; at += 1) {
      const letter = text.charCodeAt(at);
      const slot = this.#slotOf(state, letter);
      const known = this.#table[slot] ?? 0;
      state = known === 0 ? this.#make(slot, state, letter) : known;
    }
    this.#found[state] = text.length;
  }

  #make(slot: number, parent: number, letter: number): number {
    const state = this.#count;
    this.#count += 1;
    const depth = this.begunLength(parent) + 1;
    this.#table[slot] = state;
    this.#parents[state] = parent;
    this.#letters[state] = letter;
    this.#depths[state] = depth;
    if (depth >= maxHeadLength) this.#found[state] = depth;
    return state;
  }

  /** Those before it are linked. */
  #link(state: number): void {
    const parent = this.#parents[state] ?? 0;
    if (parent !== 0) this.#suffixes[state] = this.next(this.#suffixes[parent] ?? 0, this.#letters[state] ?? 0);
    if (this.#found[state] === 0) this.#found[state] = this.foundLength(this.#suffixes[state] ?? 0);
  }

  /** All but the first. Source: counting sort. */
  #byDepth(): Int32Array {
    const states = this.#depths.subarray(1, this.#count);
    const starts = new Int32Array(states.reduce((most, depth) => Math.max(most, depth), 0) + 2);
    for (const depth of states) starts[depth + 1] = (starts[depth + 1] ?? 0) + 1;
    for (let depth = 1; depth < starts.length; depth += 1)
      starts[depth] = (starts[depth] ?? 0) + (starts[depth - 1] ?? 0);
    const sorted = new Int32Array(states.length);
    states.forEach((depth, index) => {
      const at = starts[depth] ?? 0;
      sorted[at] = index + 1;
      starts[depth] = at + 1;
    });
    return sorted;
  }

  /** Where the state after this letter is, or would be. */
  #slotOf(parent: number, letter: number): number {
    const mask = this.#table.length - 1;
    const hash = Math.imul(Math.imul(parent, 0x9e3779b1) ^ Math.imul(letter + 1, 0x85ebca6b), 0xc2b2ae35);
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const state = this.#table[slot] ?? 0;
      if (state === 0 || (this.#parents[state] === parent && this.#letters[state] === letter)) return slot;
    }
  }
}

function textsOf(secrets: readonly string[]): readonly string[] {
  const lines = secrets.flatMap((secret) => [secret, ...secret.split(/\r?\n/)]).map((text) => text.trim());
  return [...new Set(lines)].filter((text) => text.length >= minSecretLength);
}
