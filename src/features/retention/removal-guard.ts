import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import { ClockJumps } from '../../platform/clock-jumps.ts';
import type { Database } from '../../platform/database/database.ts';
import { saveWalk, walkPosition } from './walk-store.ts';

export type RemovalGuardParts = {
  readonly database: Database;
  readonly clock: Clock;
  /** For so long nothing is removed after a doubt about the time: what looks old then may be new. */
  readonly graceMs: number;
};

const walkName = 'clock';
const seenSchema = z.object({ seenAtMicros: z.number() });
/** What two clocks may differ by. */
const toleranceMicros = 60_000_000;
const saveEveryMicros = 60_000_000;

/**
 * Whether the time can be believed, which says what has become old: asked before anything leaves for good. A clock that was
 * moved while the server ran, that differs from the database's, or that has gone on by much since the server ran last makes
 * removals wait; a server that really was away for long begins to remove a grace later.
 */
export class RemovalGuard {
  readonly #parts: RemovalGuardParts;
  readonly #jumps: ClockJumps;
  #waitsUntilMs: number | undefined;
  #savedAtMicros = Number.NEGATIVE_INFINITY;

  constructor(parts: RemovalGuardParts) {
    this.#parts = parts;
    this.#jumps = new ClockJumps(parts.clock);
  }

  /** Why nothing may be removed now; undefined when it may. */
  async hindrance(): Promise<string | undefined> {
    const { clock, database, graceMs } = this.#parts;
    const isEven = this.#jumps.evenMs() >= graceMs;
    const nowMicros = clock.nowMicros();
    const apart = Math.abs((await database.nowMicros()) - nowMicros);
    if (apart > toleranceMicros) return 'the clocks of this machine and of the database differ by more than a minute';
    this.#waitsUntilMs ??= await this.#waitAfterStart(nowMicros);
    await this.#save(nowMicros);
    if (!isEven) return 'the clock was moved';
    if (clock.monotonicMs() < this.#waitsUntilMs)
      return 'the server was away for long, or its clock is wrong: it waits for the length of --blob-grace';
    return undefined;
  }

  /** Until when, by the monotonic clock. */
  async #waitAfterStart(nowMicros: number): Promise<number> {
    const { clock, database, graceMs } = this.#parts;
    const seen = seenSchema.safeParse(await walkPosition(database.read, walkName)).data;
    const awayMicros = seen === undefined ? 0 : nowMicros - seen.seenAtMicros;
    const isDoubtful = awayMicros > graceMs * 1000 || awayMicros < -toleranceMicros;
    return isDoubtful ? clock.monotonicMs() + graceMs : Number.NEGATIVE_INFINITY;
  }

  async #save(nowMicros: number): Promise<void> {
    if (Math.abs(nowMicros - this.#savedAtMicros) < saveEveryMicros) return;
    const position = { seenAtMicros: nowMicros };
    await this.#parts.database.transaction((tx) => saveWalk(tx, { name: walkName, position, nowMicros }));
    this.#savedAtMicros = nowMicros;
  }
}
