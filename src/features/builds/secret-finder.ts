/** Bytes of a secret that it is found by; what follows them is compared where they stand. */
const headBytes = 256;

/** Half-open. */
export type Range = { readonly start: number; readonly end: number };

/**
 * Finds all of many secrets in one pass over the bytes (Aho and Corasick, 1975). Both come from those who ask for runs, so no
 * choice of them may take more time than their length: a search for each, one after another, would.
 */
export class SecretFinder {
  /** By 256 times the node, and the byte that leads on from it. Node 0 is the beginning of all. */
  readonly #next = new Map<number, number>();
  readonly #first = new Uint32Array(256);
  /** The node of the longest other beginning that ends as this one does. */
  readonly #shorter = [0];
  /** Those whose head ends here, the longest head of all. */
  readonly #ends: (readonly Uint8Array[])[] = [[]];

  /** None of them empty. */
  constructor(secrets: readonly Uint8Array[]) {
    let paths = secrets.map((secret) => ({ secret, node: 0 }));
    // All first bytes, then all second ones: the shorter beginnings are there before those that fall back to them.
    for (let depth = 0; paths.length > 0 && depth < headBytes; depth += 1) {
      paths = paths.map(({ secret, node }) => ({ secret, node: this.#added(node, secret[depth] ?? 0) }));
      const isWhole = ({ secret }: { readonly secret: Uint8Array }) => Math.min(secret.length, headBytes) === depth + 1;
      for (const [node, ended] of Map.groupBy(paths.filter(isWhole), (path) => path.node))
        this.#ends[node] = ended.map(({ secret }) => secret);
      paths = paths.filter((path) => !isWhole(path));
    }
  }

  /** In order; those that overlap are one. */
  find(bytes: Uint8Array): readonly Range[] {
    const found: Range[] = [];
    let node = 0;
    for (const [at, byte] of bytes.entries()) {
      node = this.#after(node, byte);
      const secrets = this.#ends[node] ?? [];
      if (secrets.length === 0) continue;
      const head = Math.min(headBytes, secrets[0]?.length ?? 0);
      let [start, end] = [at + 1 - head, at + 1];
      // What is hidden already is compared no more: it would be, over and over.
      if (end > (found.at(-1)?.end ?? 0)) end += longestAfter(bytes, end, secrets);
      for (let last = found.at(-1); last !== undefined && last.end > start; last = found.at(-1)) {
        [start, end] = [Math.min(start, last.start), Math.max(end, last.end)];
        found.pop();
      }
      found.push({ start, end });
    }
    return found;
  }

  #added(from: number, byte: number): number {
    const known = this.#next.get(from * 256 + byte);
    if (known !== undefined) return known;
    const shorter = from === 0 ? 0 : this.#after(this.#shorter[from] ?? 0, byte);
    const node = this.#shorter.push(shorter) - 1;
    this.#ends.push(this.#ends[shorter] ?? []);
    this.#next.set(from * 256 + byte, node);
    if (from === 0) this.#first[byte] = node;
    return node;
  }

  #after(from: number, byte: number): number {
    for (let node = from; node !== 0; node = this.#shorter[node] ?? 0) {
      const next = this.#next.get(node * 256 + byte);
      if (next !== undefined) return next;
    }
    return this.#first[byte] ?? 0;
  }
}

/** How many bytes go on as one of the secrets does behind its head. */
function longestAfter(bytes: Uint8Array, at: number, secrets: readonly Uint8Array[]): number {
  let longest = 0;
  for (const secret of secrets) {
    let length = 0;
    while (headBytes + length < secret.length && bytes[at + length] === secret[headBytes + length]) length += 1;
    longest = Math.max(longest, length);
  }
  return longest;
}
