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
  #finder: SecretFinder;
  #state = 0;
  /** The last letters, as many as may become a secret: what waits, and before that what was told. */
  #begun = '';
  #waiting = '';
  /** In order; the first may be before the text that waits. */
  #spans: readonly Span[] = [];

  constructor(finder: SecretFinder) {
    this.#finder = finder;
  }

  /** From now on hides what this finder finds, which knows all that the one before knew; also where it has begun in what waits. */
  learn(finder: SecretFinder): void {
    this.#finder = finder;
    this.#state = 0;
    // What waits is among the letters that are looked at again.
    this.#spans = this.#spans.filter(({ end }) => end <= 0);
    this.#spans = this.#search(this.#begun, 0, this.#begun.length - this.#waiting.length);
  }

  /** What may be shown now. */
  add(text: string): string {
    const all = `${this.#waiting}${text}`;
    const spans = this.#search(all, this.#waiting.length, 0);
    const begun = this.#finder.begunLength(this.#state);
    this.#begun = begun === 0 ? '' : `${this.#begun}${text}`.slice(-begun);
    // What is found to its end is told at once: going on with it only hides more.
    const isFound = this.#finder.foundLength(this.#state) === begun;
    return this.#show(all, spans, all.length - (isFound ? 0 : begun));
  }

  /** What still waited, at the end of the stream. */
  end(): string {
    const rest = this.#show(this.#waiting, this.#spans, this.#waiting.length);
    this.#state = 0;
    this.#begun = '';
    this.#spans = [];
    return rest;
  }

  /** Secrets with those of these letters, of which the ones before `from` were looked at before; `told` of them do not wait. */
  #search(letters: string, from: number, told: number): readonly Span[] {
    const spans = [...this.#spans];
    for (let at = from; at < letters.length; at += 1) {
      this.#state = this.#finder.next(this.#state, letters.charCodeAt(at));
      const length = this.#finder.foundLength(this.#state);
      if (length === 0) continue;
      let end = at + 1 - told;
      let start = end - length;
      for (let last = spans.at(-1); last !== undefined && last.end > start; last = spans.at(-1)) {
        start = Math.min(start, last.start);
        end = Math.max(end, last.end);
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
