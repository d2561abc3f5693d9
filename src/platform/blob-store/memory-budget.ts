import type { Clock } from '../clock.ts';

/** Bytes that all uploads of a process hold at once, unless one has waited for too long. */
const budgetBytes = 64 * 1024 * 1024;
/** Then it goes on all the same: clients that send slowly keep what they hold, and must not keep others from sending. */
const longestWaitMs = 10_000;

/** Memory for one piece. */
export type Piece = {
  readonly memory: Buffer;
  /** Gives it back; `isFree` when nobody reads it any more, so that it can be used again. Nothing happens the second time. */
  readonly release: (isFree: boolean) => void;
};

type Waiting = { readonly sizeBytes: number; readonly begin: () => void };

/** Memory for pieces of uploads, given in the order of asking, and used again: new memory is collected too late under load. */
export class MemoryBudget {
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  #heldBytes = 0;
  #free: Buffer[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async take(sizeBytes: number): Promise<Piece> {
    if (this.#waiting.length > 0 || !this.#fits(sizeBytes)) await this.#wait(sizeBytes);
    this.#heldBytes += sizeBytes;
    const memory = this.#memoryOf(sizeBytes);
    let isHeld = true;
    const release = (isFree: boolean) => {
      if (!isHeld) return;
      isHeld = false;
      this.#heldBytes -= sizeBytes;
      if (isFree && this.#heldBytes <= budgetBytes) this.#free.push(memory);
      this.#wake();
    };
    return { memory, release };
  }

  /** Pieces of one length are by far the most; memory of another length is let go of. Its pages are taken as they are filled. */
  #memoryOf(sizeBytes: number): Buffer {
    const memory = this.#free.pop();
    if (memory?.length === sizeBytes) return memory;
    this.#free = [];
    return Buffer.allocUnsafeSlow(sizeBytes);
  }

  #fits(sizeBytes: number): boolean {
    return this.#heldBytes === 0 || this.#heldBytes + sizeBytes <= budgetBytes;
  }

  async #wait(sizeBytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const begun = new AbortController();
    const waiting = { sizeBytes, begin: resolve };
    this.#waiting.push(waiting);
    this.#clock.sleep(longestWaitMs, begun.signal).then(resolve, () => {
      // Its turn came in time.
    });
    await promise;
    begun.abort();
    const place = this.#waiting.indexOf(waiting);
    if (place >= 0) this.#waiting.splice(place, 1);
  }

  /** One at a time: who begins takes its share before the next is asked. */
  #wake(): void {
    const [first] = this.#waiting;
    if (first === undefined || !this.#fits(first.sizeBytes)) return;
    this.#waiting.shift();
    first.begin();
    queueMicrotask(() => queueMicrotask(() => this.#wake()));
  }
}
