/** What stands in the log where a secret was. */
const hidden = '***';
/** Shorter texts are too common to hide: every other letter of the log would go. */
const minSecretLength = 4;

/**
 * Hides secrets in a stream of text, also where one is cut into several pieces: what may be the beginning of a secret waits
 * for the next piece. Each line of a secret of several lines is hidden too, as programs print it line by line.
 */
export class SecretMask {
  readonly #secrets: readonly string[];
  #waiting = '';

  constructor(secrets: readonly string[]) {
    const lines = secrets.flatMap((secret) => [secret, ...secret.split(/\r?\n/)]).map((text) => text.trim());
    const long = lines.filter((text) => text.length >= minSecretLength);
    // Longest first: a secret that holds another is hidden as a whole.
    this.#secrets = [...new Set(long)].sort((a, b) => b.length - a.length);
  }

  /** What may be shown now. */
  add(text: string): string {
    const all = `${this.#waiting}${text}`;
    const shown: string[] = [];
    let at = 0;
    for (;;) {
      const found = this.#firstFrom(all, at);
      if (found === undefined) break;
      shown.push(all.slice(at, found.at), hidden);
      at = found.at + found.length;
    }
    const rest = all.slice(at);
    const held = this.#heldLength(rest);
    this.#waiting = rest.slice(rest.length - held);
    return `${shown.join('')}${rest.slice(0, rest.length - held)}`;
  }

  /** What still waited, at the end of the stream. */
  end(): string {
    const rest = this.#waiting;
    this.#waiting = '';
    return rest;
  }

  #firstFrom(text: string, start: number): { readonly at: number; readonly length: number } | undefined {
    let first: { at: number; length: number } | undefined;
    for (const secret of this.#secrets) {
      const at = text.indexOf(secret, start);
      if (at >= 0 && (first === undefined || at < first.at)) first = { at, length: secret.length };
    }
    return first;
  }

  /** How much of the end may begin a secret. */
  #heldLength(text: string): number {
    const longest = Math.min(text.length, Math.max(0, (this.#secrets[0]?.length ?? 0) - 1));
    for (let length = longest; length > 0; length -= 1) {
      const end = text.slice(-length);
      if (this.#secrets.some((secret) => secret.startsWith(end))) return length;
    }
    return 0;
  }
}
