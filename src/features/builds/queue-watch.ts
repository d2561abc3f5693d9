import type { Clock } from '../../platform/clock.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import { restUntil } from '../../platform/rest-until.ts';

/** Work of other processes that nobody told of is found so late. */
const lookEveryMs = 2_000;
/** What is appended in a busy time wakes those who wait once in so long: most of it is no run. */
const gatherMs = 100;

/** Waits for runs to be queued: told by the journal, and looking now and then. */
export class QueueWatch {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  readonly #stop: () => void;
  #isClosed = false;

  constructor({ clock, journal }: { readonly clock: Clock; readonly journal: Pick<Journal, 'onAppend'> }) {
    this.#clock = clock;
    this.#stop = journal.onAppend((streams) => {
      if (streams.some((stream) => stream.startsWith('registry/'))) this.#wake();
    });
  }

  /** What `take` finds first, within the time; undefined without it, when `gone` is aborted, and when this closes. */
  async next<T>(take: () => Promise<T | undefined>, waitMs: number, gone: AbortSignal): Promise<T | undefined> {
    const endMs = this.#clock.monotonicMs() + waitMs;
    while (!gone.aborted) {
      const beganMs = this.#clock.monotonicMs();
      const found = await take();
      const leftMs = endMs - this.#clock.monotonicMs();
      if (found !== undefined || leftMs <= 0 || this.#isClosed) return found;
      await this.#sleep(Math.min(leftMs, lookEveryMs), gone);
      if (!this.#isClosed) await restUntil(this.#clock, beganMs + gatherMs, gone);
    }
    return undefined;
  }

  /** Answers everybody who waits, so that the server can stop. */
  close(): void {
    this.#isClosed = true;
    this.#stop();
    this.#wake();
  }

  async #sleep(ms: number, gone: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = () => woken.abort();
    this.#waiting.add(wake);
    try {
      await this.#clock.sleep(ms, AbortSignal.any([gone, woken.signal]));
    } catch {
      // Woken before the time was over.
    } finally {
      this.#waiting.delete(wake);
    }
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
