import { Socket } from 'node:net';

/**
 * A socket that sends what was written under `cork` in one turn of the event loop together: several statements sent ahead cost one
 * call of the system, and the database server wakes once for them. Nothing waits longer than the program itself is at work.
 */
export class GatheringSocket extends Socket {
  #isGathering = false;

  override cork(): void {
    if (!this.#isGathering) {
      this.#isGathering = true;
      super.cork();
      // Promises that are settled run on first: what they write comes along.
      queueMicrotask(() => process.nextTick(this.#send));
    }
    super.cork();
  }

  readonly #send = (): void => {
    this.#isGathering = false;
    this.uncork();
  };
}
