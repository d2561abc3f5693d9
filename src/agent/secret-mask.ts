import type { SecretFinder } from '../core/secret-finder.ts';

/** What stands in the log where a secret was. */
const hidden = '***';

/** Letters of the text that is there: from `start` up to `end`. Where it begins before, its beginning was told. */
type Span = { readonly start: number; readonly end: number };

/**
 * Hides secrets in one stream of text, also where one is cut into several pieces: what may be the beginning of a secret waits
 * for the next piece. Secrets that overlap are hidden as one. Takes time that grows with the text alone.
 */
export class SecretMask {
  readonly #finder: SecretFinder;
  #state = 0;
  #waiting = '';
  /** In order; the first may be before the text that waits. */
  #spans: readonly Span[] = [];

  constructor(finder: SecretFinder) {
    this.#finder = finder;
  }

  /** What may be shown now. */
  add(text: string): string {
    const all = `${this.#waiting}${text}`;
    const spans = this.#search(all, this.#waiting.length);
    // What is found to its end is told at once: going on with it only hides more.
    const begun = this.#finder.begunLength(this.#state);
    const isFound = this.#finder.foundLength(this.#state) === begun;
    return this.#show(all, spans, all.length - (isFound ? 0 : begun));
  }

  /** What still waited, at the end of the stream. */
  end(): string {
    const rest = this.#show(this.#waiting, this.#spans, this.#waiting.length);
    this.#state = 0;
    this.#spans = [];
    return rest;
  }

  /** Secrets of the text, whose letters before `from` were looked at before. */
  #search(all: string, from: number): readonly Span[] {
    const spans = [...this.#spans];
    for (let at = from; at < all.length; at += 1) {
      this.#state = this.#finder.next(this.#state, all.charCodeAt(at));
      const length = this.#finder.foundLength(this.#state);
      if (length === 0) continue;
      const end = at + 1;
      let start = end - length;
      for (let last = spans.at(-1); last !== undefined && last.end > start; last = spans.at(-1)) {
        start = Math.min(start, last.start);
        spans.pop();
      }
      spans.push({ start, end });
    }
    return spans;
  }

  /** The text up to `until`, and farther where a secret goes on; the rest waits. */
  #show(all: string, spans: readonly Span[], until: number): string {
    const shown: string[] = [];
    let at = 0;
    let told: Span | undefined;
    for (const span of spans) {
      if (span.start >= until) break;
      if (span.start >= 0) shown.push(all.slice(at, span.start), hidden);
      at = Math.max(at, span.end);
      told = span;
    }
    const to = Math.max(at, until);
    const kept = spans.filter((span) => span === told || span.start >= until);
    this.#waiting = all.slice(to);
    this.#spans = kept.map(({ start, end }) => ({ start: start - to, end: end - to }));
    return `${shown.join('')}${all.slice(at, to)}`;
  }
}
