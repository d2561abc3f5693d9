import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../clock.ts';

/** Bytes that all uploads of a process hold at once, unless one has waited for too long. */
const budgetBytes = 64 * 1024 * 1024;
/** What they hold at most, those that have waited for long among them. */
const mostBytes = 256 * 1024 * 1024;
/** Then it may go past the budget: clients that send slowly keep what they hold, and must not keep others from sending. */
const longWaitMs = 10_000;
/** An upload for which there is no room then either fails. */
const lastWaitMs = 10_000;
const retryAfterSeconds = 5;
/** Bytes that are kept for a while when nobody sends any more: what one client takes that pushes one blob after the other. */
const idleBytes = 16 * 1024 * 1024;
/** Then none is kept: pulls may need it. */
const idleMs = 1_000;

/** Memory for one piece. */
export type Piece = {
  readonly memory: Buffer;
  /** Gives it back; `isFree` when nobody reads it any more, so that it can be used again. Nothing happens the second time. */
  readonly release: (isFree: boolean) => void;
};

/** `limitBytes`: what all may hold with it. */
type Waiting = { readonly sizeBytes: number; limitBytes: number; readonly begin: () => void };

/** Memory for pieces of uploads, given in the order of asking, and used again: new memory is collected too late under load. */
export class MemoryBudget {
  readonly #clock: Clock;
  #waiting: Waiting[] = [];
  #heldBytes = 0;
  #free: Buffer[] = [];
  /** Of the time since nobody sends. */
  #idle = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws `storeAway` when there is no room for too long. */
  async take(sizeBytes: number): Promise<Piece> {
    this.#idle.abort();
    if (this.#waiting.length > 0 || !this.#fits(sizeBytes, budgetBytes)) await this.#wait(sizeBytes);
    else this.#heldBytes += sizeBytes;
    const memory = this.#memoryOf(sizeBytes);
    let isHeld = true;
    const release = (isFree: boolean) => {
      if (!isHeld) return;
      isHeld = false;
      this.#heldBytes -= sizeBytes;
      if (isFree && this.#heldBytes <= budgetBytes) this.#free.push(memory);
      if (this.#heldBytes === 0) void this.#letGo();
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

  /** A burst of uploads does not keep its memory for as long as the process lives. */
  async #letGo(): Promise<void> {
    let keptBytes = 0;
    this.#free = this.#free.filter(({ length }) => {
      keptBytes += length;
      return keptBytes <= idleBytes;
    });
    this.#idle.abort();
    this.#idle = new AbortController();
    const { signal } = this.#idle;
    await this.#clock.sleep(idleMs, signal).then(
      () => {
        this.#free = [];
      },
      () => {
        // Somebody sends again.
      },
    );
  }

  #fits(sizeBytes: number, limitBytes: number): boolean {
    return this.#heldBytes === 0 || this.#heldBytes + sizeBytes <= limitBytes;
  }

  /** Resolves when the bytes are counted as held. */
  async #wait(sizeBytes: number): Promise<void> {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const waiting: Waiting = { sizeBytes, limitBytes: budgetBytes, begin };
    this.#waiting.push(waiting);
    const ended = new AbortController();
    try {
      await Promise.race([begun, this.#losePatience(waiting, ended.signal)]);
    } finally {
      ended.abort();
    }
  }

  async #losePatience(waiting: Waiting, signal: AbortSignal): Promise<never> {
    await this.#clock.sleep(longWaitMs, signal);
    waiting.limitBytes = mostBytes;
    this.#wake();
    await this.#clock.sleep(lastWaitMs, signal);
    this.#waiting = this.#waiting.filter((other) => other !== waiting);
    this.#wake();
    throw new BerthError('storeAway', undefined, { retryAfterSeconds });
  }

  /** In the order of asking: who has waited for longer has the higher limit. */
  #wake(): void {
    let [first] = this.#waiting;
    while (first !== undefined && this.#fits(first.sizeBytes, first.limitBytes)) {
      this.#waiting.shift();
      this.#heldBytes += first.sizeBytes;
      first.begin();
      [first] = this.#waiting;
    }
  }
}
