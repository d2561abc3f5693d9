import { type AgentClient, LeaseLost } from '../client/agent-client.ts';
import { ClientError } from '../client/client-error.ts';
import type { Clock } from '../platform/clock.ts';
import type { LeaseState, RunOrder } from '../wire/builds/agent-protocol.ts';

export type LogUploadParts = {
  readonly client: Pick<AgentClient, 'log'>;
  readonly clock: Clock;
  readonly order: Pick<RunOrder, 'lease' | 'logOffset'>;
  /** Every answer tells how the lease stands. */
  readonly onState: (state: LeaseState) => void;
  /** The server takes no more of it. */
  readonly onLost: (cause: unknown) => void;
  readonly signal: AbortSignal;
};

/** A line is seen within a second of being printed: this, and what the client waits. */
const collectMs = 200;
const maxPieceBytes = 256 * 1024;
const maxWaitingBytes = 4 * 1024 * 1024;
const retryMs = 1_000;
/** A server that restarts is back before; later its lease has ended. */
const patienceMs = 60_000;

/** Sends a run's log in order, piece by piece; what did not arrive is sent again from where the server says. */
export class LogUpload {
  readonly #parts: LogUploadParts;
  #waiting = Buffer.alloc(0);
  #offset: number;
  #isSending = false;
  /** Aborted when no more comes: then nobody waits to gather more. */
  readonly #ended = new AbortController();
  #wakers: (() => void)[] = [];

  constructor(parts: LogUploadParts) {
    this.#parts = parts;
    this.#offset = parts.order.logOffset;
  }

  /** Resolves at once, or when there is room again: programs then wait. */
  async add(bytes: Uint8Array): Promise<void> {
    this.#waiting = Buffer.concat([this.#waiting, bytes]);
    if (!this.#isSending) this.#begin();
    while (this.#waiting.length > maxWaitingBytes && !this.#parts.signal.aborted) await this.#change();
  }

  /** Resolves when the server has all of it, or takes no more. */
  async end(): Promise<void> {
    this.#ended.abort();
    while (this.#isSending) await this.#change();
  }

  #begin(): void {
    this.#isSending = true;
    this.#send()
      .catch((cause: unknown) => {
        this.#waiting = Buffer.alloc(0);
        this.#parts.onLost(cause);
      })
      .finally(() => {
        this.#isSending = false;
        this.#wake();
      });
  }

  async #send(): Promise<void> {
    const { clock } = this.#parts;
    let lastSentMs = clock.monotonicMs();
    while (this.#waiting.length > 0) {
      if (this.#waiting.length < maxPieceBytes) await this.#gather();
      const piece = this.#waiting.subarray(0, maxPieceBytes);
      const isSent = await this.#sendPiece(piece);
      if (isSent) lastSentMs = clock.monotonicMs();
      else if (clock.monotonicMs() - lastSentMs > patienceMs)
        throw new LeaseLost('the server takes no more of the log');
      else await clock.sleep(retryMs);
      this.#wake();
    }
  }

  async #gather(): Promise<void> {
    await this.#parts.clock.sleep(collectMs, this.#ended.signal).catch(() => {
      // There is no more.
    });
  }

  async #sendPiece(piece: Uint8Array): Promise<boolean> {
    const { client, order, onState } = this.#parts;
    try {
      const answer = await client.log(order.lease, this.#offset, piece);
      if (answer.kind === 'kept') {
        onState(answer.state);
        this.#advance(piece.length);
      } else {
        // An answer was lost on its way: the server has more than was thought.
        const ahead = answer.offset - this.#offset;
        if (ahead <= 0 || ahead > this.#waiting.length) throw new LeaseLost('the log of the run is written by another');
        this.#advance(ahead);
      }
      return true;
    } catch (cause) {
      const isFinal =
        cause instanceof LeaseLost || (cause instanceof ClientError && !cause.canRetry && cause.status < 500);
      if (isFinal) throw cause;
      return false;
    }
  }

  #advance(count: number): void {
    this.#offset += count;
    this.#waiting = this.#waiting.subarray(count);
  }

  async #change(): Promise<void> {
    await new Promise<void>((resolve) => this.#wakers.push(resolve));
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }
}
