import { setImmediate as nextTurn } from 'node:timers/promises';
import { DefaultQueryExecutor, Transaction as KyselyTransaction } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import type { Transaction, TransactionOptions } from './database.ts';
import type { Schema } from './schema.ts';
import type { SqliteCheckpoints } from './sqlite-checkpoints.ts';
import { type SqliteCommits, SyncFailed } from './sqlite-commits.ts';
import type { SqliteConnection } from './sqlite-connection.ts';
import { SqliteDialect } from './sqlite-dialect.ts';
import { busyRetrySeconds, isSqliteBusy, sqliteFault } from './sqlite-fault.ts';

/** A transaction that has not begun after this long fails with `busy`. */
const maxWaitMs = 5_000;
/** How often they are looked for while the writer itself waits. */
const overdueEveryMs = 1_000;
/** More than this do not wait: the disk stalls. */
const maxWaiting = 10_000;
/** How many transactions, and how much time of the event loop, one commit may gather. */
const maxGroup = 256;
const maxGroupMs = 10;

type Waiting = {
  readonly work: (tx: Transaction) => Promise<void>;
  readonly succeed: () => void;
  readonly fail: (error: unknown) => void;
  readonly sinceMs: number;
  readonly mayBeLost: boolean;
};

export type SqliteWriterParts = {
  readonly connection: SqliteConnection;
  readonly commits: SqliteCommits;
  readonly checkpoints: SqliteCheckpoints;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Called when the disk did not take what was written: this process must write no more. */
  readonly onSyncFailed: (error: SyncFailed) => void;
};

/**
 * The one writing connection of a process. Transactions wait in a queue; those that wait together run one after the other,
 * each in its own savepoint, and share one commit, so that one sync serves them all; a group of which all may be lost has none.
 * Nobody hears of success or failure before that sync: what a transaction saw of an earlier one is true only from then on. When
 * the commit fails, all of the group fail. A lock held by another process is waited for without blocking the event loop.
 */
export class SqliteWriter {
  readonly #parts: SqliteWriterParts;
  readonly #connection: SqliteConnection;
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  readonly #finished = new AbortController();
  #draining: Promise<void> | undefined;
  #watching: Promise<void> | undefined;
  #isFinished = false;

  constructor(parts: SqliteWriterParts) {
    this.#parts = parts;
    this.#connection = parts.connection;
    this.#clock = parts.clock;
  }

  /** How many transactions have not begun yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  transaction<T>(work: (tx: Transaction) => Promise<T>, { mayBeLost = false }: TransactionOptions = {}): Promise<T> {
    if (this.#isFinished) return Promise.reject(new BerthError('stopping'));
    if (this.#waiting.length >= maxWaiting) return Promise.reject(busy());
    return new Promise((resolve, reject) => {
      let succeed = () => {};
      this.#waiting.push({
        work: async (tx) => {
          const value = await work(tx);
          succeed = () => resolve(value);
        },
        succeed: () => succeed(),
        fail: reject,
        sinceMs: this.#clock.monotonicMs(),
        mayBeLost,
      });
      this.#draining ??= this.#drain();
      this.#watching ??= this.#watch();
    });
  }

  /** Refuses new transactions; resolves when what waits is committed or has failed. */
  async finish(): Promise<void> {
    this.#isFinished = true;
    await this.#draining;
    this.#finished.abort();
    await this.#watching;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Lets the requests that have already arrived join the group.
      await nextTurn();
      await this.#parts.checkpoints.beforeBegin();
      if (await this.#begin()) await this.#runGroup();
    }
    this.#draining = undefined;
  }

  /** While a commit or a checkpoint waits for the disk, nobody waits for longer than they may. */
  async #watch(): Promise<void> {
    try {
      while (this.#draining !== undefined) {
        await this.#clock.sleep(overdueEveryMs, this.#finished.signal);
        this.#failOverdue();
      }
    } catch {
      // Finished: nobody waits any more.
    }
    this.#watching = undefined;
  }

  /** Takes the write lock; false when nobody waits for it any more. */
  async #begin(): Promise<boolean> {
    while (true) {
      this.#failOverdue();
      if (this.#waiting.length === 0) return false;
      try {
        this.#connection.run('begin immediate');
        return true;
      } catch (error) {
        if (!isSqliteBusy(error)) this.#failWaiting(this.#waiting.length, sqliteFault(error));
      }
      await this.#clock.sleep(this.#jitterMs());
    }
  }

  async #runGroup(): Promise<void> {
    const group: Waiting[] = [];
    const settle: (() => void)[] = [];
    const endMs = this.#clock.monotonicMs() + maxGroupMs;
    try {
      while (group.length < maxGroup && this.#clock.monotonicMs() <= endMs) {
        const member = this.#waiting.shift();
        if (member === undefined) break;
        group.push(member);
        settle.push(await this.#runMember(member));
      }
      await this.#parts.commits.commit(!group.every((member) => member.mayBeLost));
    } catch (error) {
      const fault = sqliteFault(error);
      for (const member of group) member.fail(fault);
      if (error instanceof SyncFailed) this.giveUp(error);
      else this.#rollBack();
      return;
    }
    for (const tell of settle) tell();
    this.#parts.checkpoints.afterCommit(this.#connection);
  }

  #rollBack(): void {
    try {
      if (this.#connection.isTransaction) this.#connection.run('rollback');
    } catch (cause) {
      // Nothing can be begun any more.
      this.giveUp(new SyncFailed('a transaction could not be rolled back', { cause }));
    }
  }

  /** Fails what waits and refuses what comes: the disk cannot be believed any more. */
  giveUp(error: SyncFailed): void {
    this.#isFinished = true;
    this.#failWaiting(this.#waiting.length, error);
    this.#parts.onSyncFailed(error);
  }

  /** Returns how to tell the caller once the group is committed; throws when SQLite has rolled back the whole group. */
  async #runMember(member: Waiting): Promise<() => void> {
    this.#connection.run('savepoint member');
    const { tx, end } = openTransaction(this.#connection);
    try {
      await member.work(tx);
      this.#connection.run('release member');
      return member.succeed;
    } catch (error) {
      if (!this.#connection.isTransaction) throw error;
      this.#connection.run('rollback to member');
      this.#connection.run('release member');
      return () => member.fail(error);
    } finally {
      end();
    }
  }

  #failOverdue(): void {
    const sinceMs = this.#clock.monotonicMs() - maxWaitMs;
    const overdue = this.#waiting.findIndex((waiting) => waiting.sinceMs > sinceMs);
    const count = overdue === -1 ? this.#waiting.length : overdue;
    if (count > 0) this.#failWaiting(count, busy());
  }

  #failWaiting(count: number, error: unknown): void {
    for (const waiting of this.#waiting.splice(0, count)) waiting.fail(error);
  }

  #jitterMs(): number {
    const [random = 0] = this.#parts.ids.bytes(1);
    return 1 + random / 128;
  }
}

function busy(): BerthError {
  return new BerthError('busy', undefined, { retryAfterSeconds: busyRetrySeconds });
}

/** What one transaction queries with; refuses queries after `end`, when the connection already serves another one. */
function openTransaction(connection: SqliteConnection): { readonly tx: Transaction; readonly end: () => void } {
  let isOver = false;
  const dialect = new SqliteDialect(connection);
  const executor = new DefaultQueryExecutor(dialect.createQueryCompiler(), dialect.createAdapter(), {
    provideConnection: async (consumer) => {
      if (isOver) throw new Error('a query came after the end of its transaction');
      return await consumer(connection);
    },
  });
  const tx = new KyselyTransaction<Schema>({ config: { dialect }, dialect, driver: dialect.createDriver(), executor });
  const end = () => {
    isOver = true;
  };
  return { tx, end };
}
