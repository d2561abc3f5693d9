import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { RunLeases } from './run-leases.ts';
import type { RunLog } from './run-logs.ts';

export type LogFollowersParts = {
  readonly database: Pick<Database, 'read'>;
  readonly clock: Clock;
  readonly leases: Pick<RunLeases, 'onLog'>;
};

/** A question whose answer is held. */
type Held = {
  readonly runUid: string;
  /** As long as its log is so long there is nothing to tell. */
  sizeBytes: number;
  /** Ends its wait; another one before each look, so that what comes meanwhile is not missed. */
  woken: AbortController;
  /** The follower asked again: this answer shall have no news, as the other has them. */
  isHurried: boolean;
};

type Follower = {
  readonly sentBytes: number;
  /** It asks without waiting for answers, by a timer: nothing is ever held for it again. */
  readonly isHasty: boolean;
};

/** An answer is held no longer: clients and proxies wait a minute for one. */
const holdMs = 20_000;
/** What came by another process is found so late. */
const lookEveryMs = 500;
/** Answers that are held, all together and of one log; whoever asks then is answered at once. */
const mostHeld = { inAll: 1_000, ofOne: 64 };
/** Followers of whom it is known how far they are and how they ask. */
const mostKnown = 10_000;

/**
 * Those who follow logs and have read all that there is: the answer to their next question waits for news. `az` sleeps for
 * seconds after an answer without news. Source: azure-cli, acr/_stream_utils.py; docs/decisions/builds.md.
 */
export class LogFollowers {
  readonly #parts: LogFollowersParts;
  /** By log and follower: two answers that have the same news would have it read what they tell of twice. */
  readonly #held = new Map<string, Held>();
  /** By log and follower; who was heard of last is at the end. */
  readonly #known = new Map<string, Follower>();
  /** Of each first look at a log that goes on: the logs that grew meanwhile. */
  readonly #looks = new Set<Set<string>>();
  readonly #closed = new AbortController();
  readonly #stop: () => void;
  #isLooking = false;

  constructor(parts: LogFollowersParts) {
    this.#parts = parts;
    this.#stop = parts.leases.onLog((runUid) => {
      for (const grown of this.#looks) grown.add(runUid);
      this.#wake((held) => held.runUid === runUid);
    });
  }

  /** Notes that a follower is sent a log up to here; what it returns takes that back, where the answer was cut off. */
  noteSent({ uid }: RunLog, follower: string, endBytes: number): () => void {
    const key = keyOf(uid, follower);
    const before = this.#known.get(key)?.sentBytes ?? 0;
    this.#note(key, { sentBytes: Math.max(before, endBytes) });
    return () => {
      // Not what another answer has brought it since.
      if (this.#known.get(key)?.sentBytes === endBytes) this.#note(key, { sentBytes: before });
    };
  }

  /**
   * How a log stands when it has something that the follower was not sent, or its end: at the latest after `holdMs`, when
   * `gone` is aborted, or when this closes. A second question of a follower before it has the first answer ends the hold of
   * that, which tells how the log stood when it was asked. `find` tells how it stands, undefined for a log that is gone.
   */
  async next(
    find: () => Promise<RunLog | undefined>,
    follower: string,
    gone: AbortSignal,
  ): Promise<RunLog | undefined> {
    const { clock } = this.#parts;
    const endMs = clock.monotonicMs() + holdMs;
    const { log, hasGrown } = await this.#firstLook(find);
    if (log === undefined || gone.aborted || !this.#mayHold(log, follower)) return log;
    const held: Held = { runUid: log.uid, sizeBytes: log.sizeBytes, woken: new AbortController(), isHurried: false };
    if (hasGrown) held.woken.abort();
    const key = keyOf(log.uid, follower);
    this.#held.set(key, held);
    void this.#lookOn();
    try {
      while (true) {
        await this.#wait(held, endMs - clock.monotonicMs(), gone);
        held.woken = new AbortController();
        const now = held.isHurried ? log : await find();
        // While it looked, too.
        if (held.isHurried) return log;
        if (now === undefined || clock.monotonicMs() >= endMs || gone.aborted || this.#hasNews(now, key)) return now;
        held.sizeBytes = now.sizeBytes;
      }
    } finally {
      this.#held.delete(key);
    }
  }

  /** Answers everybody, so that the server can stop. */
  close(): void {
    this.#closed.abort();
    this.#stop();
  }

  /** Whether the log grew while it was looked at: that may be missing in what was found. */
  async #firstLook(find: () => Promise<RunLog | undefined>): Promise<{ log: RunLog | undefined; hasGrown: boolean }> {
    const grown = new Set<string>();
    this.#looks.add(grown);
    try {
      const log = await find();
      return { log, hasGrown: log !== undefined && grown.has(log.uid) };
    } finally {
      this.#looks.delete(grown);
    }
  }

  #mayHold(log: RunLog, follower: string): boolean {
    const key = keyOf(log.uid, follower);
    if (this.#isHasty(key) || this.#hasNews(log, key)) return false;
    const ofOne = [...this.#held.values()].filter(({ runUid }) => runUid === log.uid).length;
    return this.#held.size < mostHeld.inAll && ofOne < mostHeld.ofOne;
  }

  /** Whether it ever asked twice at a time; now, its first answer is held no longer. */
  #isHasty(key: string): boolean {
    const held = this.#held.get(key);
    const isHasty = held !== undefined || this.#known.get(key)?.isHasty === true;
    if (isHasty) this.#note(key, { isHasty });
    if (held === undefined) return isHasty;
    held.isHurried = true;
    held.woken.abort();
    return isHasty;
  }

  /** More than the follower was sent, or the end; or there will be none, as this closes. */
  #hasNews({ status, sizeBytes }: RunLog, key: string): boolean {
    return status !== undefined || this.#closed.signal.aborted || sizeBytes > (this.#known.get(key)?.sentBytes ?? 0);
  }

  #note(key: string, change: Partial<Follower>): void {
    const known = { sentBytes: 0, isHasty: false, ...this.#known.get(key), ...change };
    this.#known.delete(key);
    this.#known.set(key, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > mostKnown && oldest !== undefined) this.#known.delete(oldest);
  }

  async #wait({ woken }: Held, ms: number, gone: AbortSignal): Promise<void> {
    try {
      await this.#parts.clock.sleep(ms, AbortSignal.any([gone, woken.signal, this.#closed.signal]));
    } catch {
      // Woken before the time was over.
    }
  }

  /** One look for all who wait, and none while nobody does. */
  async #lookOn(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    while (this.#held.size > 0 && !this.#closed.signal.aborted) {
      await this.#parts.clock.sleep(lookEveryMs, this.#closed.signal).catch(() => {
        // Closed: the loop sees it.
      });
      if (this.#closed.signal.aborted) break;
      await this.#look().catch(() => {
        // Each finds out by itself what is wrong, and is told.
        this.#wake(() => true);
      });
    }
    this.#isLooking = false;
  }

  async #look(): Promise<void> {
    const looked = [...this.#held.values()];
    if (looked.length === 0) return;
    const rows = await this.#parts.database.read
      .selectFrom('runs')
      .select(['uid', 'log_size', 'finished_at'])
      .where('uid', 'in', [...new Set(looked.map(({ runUid }) => runUid))])
      .execute();
    const unfinished = rows.filter((row) => row.finished_at === null).map((row) => [row.uid, row.log_size] as const);
    const sizes = new Map(unfinished);
    for (const { runUid, sizeBytes, woken } of looked) if (sizes.get(runUid) !== sizeBytes) woken.abort();
  }

  #wake(isMeant: (held: Held) => boolean): void {
    for (const held of this.#held.values()) if (isMeant(held)) held.woken.abort();
  }
}

function keyOf(runUid: string, follower: string): string {
  return `${runUid}/${follower}`;
}
