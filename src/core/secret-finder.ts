/** Shorter texts are too common to hide: every other letter of the log would go. In letters of what is searched. */
export const minSecretLength = 4;
/** So much of a secret's beginning is a secret by itself. */
const maxHeadLength = 256;

/** How a secret is written where it is looked for, as letters from 0 to 65535: bytes have one letter each. */
export type Spell = (secret: string) => string;

/**
 * Finds many secrets at once in a text that comes letter by letter, in time that grows with the text alone, however many they
 * are. Lines of a secret are secrets too, as programs print them one by one; of a long one its first 256 letters, and each
 * longer beginning. A state is a number: where one text stands; 0 before its first letter. Source: Aho and Corasick, 1975.
 * Nothing is looked up by a hash: whoever chose the letters could choose its collisions.
 */
export class SecretFinder {
  /** By state, shorter ones first: its last letter, and how many letters led to it. */
  readonly #letters: Uint16Array;
  readonly #depths: Int32Array;
  /** The first of the states after one more letter; they are in the order of that letter, up to the first of the next state. */
  readonly #children: Int32Array;
  /** By state: where its end alone would stand, the longest such; and the length of the longest secret that ends here. */
  readonly #suffixes: Int32Array;
  readonly #found: Int32Array;

  /** Letters are those of UTF-16 unless `spell` says otherwise. */
  constructor(secrets: readonly string[], spell: Spell = asWritten) {
    const texts = textsOf(secrets, spell);
    const size = texts.reduce((sum, text) => sum + text.length, 1);
    this.#letters = new Uint16Array(size);
    this.#depths = new Int32Array(size);
    this.#children = new Int32Array(size + 1);
    this.#suffixes = new Int32Array(size);
    this.#found = new Int32Array(size);
    this.#build(texts);
  }

  /** Where the text stands after one more letter. */
  next(state: number, letter: number): number {
    for (let at = state; ; at = this.#suffixes[at] ?? 0) {
      const child = this.#childOf(at, letter);
      if (child !== 0 || at === 0) return child;
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

  /** The texts are sorted: those that begin as a state does are side by side, and one that ends there is the first of them. */
  #build(texts: readonly string[]): void {
    const starts = new Int32Array(this.#depths.length);
    const ends = new Int32Array(this.#depths.length);
    ends[0] = texts.length;
    let count = 1;
    for (let state = 0; state < count; state += 1) {
      const depth = this.begunLength(state);
      const end = ends[state] ?? 0;
      let at = starts[state] ?? 0;
      const isEnd = depth > 0 && texts[at]?.length === depth;
      if (isEnd) at += 1;
      this.#found[state] = isEnd || depth >= maxHeadLength ? depth : this.foundLength(this.#suffixes[state] ?? 0);
      this.#children[state] = count;
      while (at < end) {
        const letter = texts[at]?.charCodeAt(depth) ?? 0;
        starts[count] = at;
        while (at < end && texts[at]?.charCodeAt(depth) === letter) at += 1;
        ends[count] = at;
        this.#letters[count] = letter;
        this.#depths[count] = depth + 1;
        // What it falls back to is shorter, so its children are known.
        if (state !== 0) this.#suffixes[count] = this.next(this.#suffixes[state] ?? 0, letter);
        count += 1;
      }
    }
    this.#children[count] = count;
  }

  /** 0 for none. */
  #childOf(state: number, letter: number): number {
    const end = this.#children[state + 1] ?? 0;
    let low = this.#children[state] ?? 0;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#letters[middle] ?? 0) < letter) low = middle + 1;
      else high = middle;
    }
    return low < end && this.#letters[low] === letter ? low : 0;
  }
}

/** In the order of their letters. */
function textsOf(secrets: readonly string[], spell: Spell): readonly string[] {
  const lines = secrets.flatMap((secret) => [secret, ...secret.split(/\r?\n/)]).map((text) => spell(text.trim()));
  return [...new Set(lines)].filter((text) => text.length >= minSecretLength).toSorted();
}

function asWritten(secret: string): string {
  return secret;
}
