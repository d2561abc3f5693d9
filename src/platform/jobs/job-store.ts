import { sql, type Updateable } from 'kysely';
import type { Database, Transaction } from '../database/database.ts';
import { lockedForUpdateSkipLocked } from '../database/locks.ts';
import type { Schema } from '../database/schema.ts';
import type { Ids } from '../ids.ts';
import type { JobKind, JobRequest } from './jobs.ts';
import { grantMs } from './lease-keeper.ts';

/** No failed run waits longer for the next. */
export const longestRetryMs = 300_000;

/** A job that this process holds; every write proves it with owner and fence, which change when another takes over. */
export type TakenJob = {
  readonly uid: string;
  readonly kind: string;
  readonly key: string;
  readonly payload: string;
  /** Runs begun, this one included. */
  readonly attempts: number;
  readonly fence: number;
};

export type Ending =
  | { readonly kind: 'done' }
  /** Waits again: after a failure, until a repeating job's next time, or because the server stops. */
  | { readonly kind: 'waits'; readonly inMs: number; readonly attempts: number; readonly lastError: string | null }
  | { readonly kind: 'failed'; readonly lastError: string };

/** The rows of jobs. All times are the database's. */
export class JobStore {
  readonly #database: Database;
  readonly #ids: Ids;
  readonly #owner: string;

  constructor(database: Database, ids: Ids) {
    this.#database = database;
    this.#ids = ids;
    this.#owner = ids.uid();
  }

  /**
   * `nowMicros` may be the process's clock: a job that starts a little early or late is the same job. Where the job waits already,
   * nobody takes it before the transaction ends: its run would not see what it was asked for.
   */
  async add(tx: Transaction, job: JobRequest, nowMicros: number): Promise<void> {
    await tx
      .insertInto('jobs')
      .values({
        uid: this.#ids.uid(),
        kind: job.kind,
        key: job.key,
        payload: JSON.stringify(job.payload),
        state: 'waiting',
        run_at: job.runAtMicros ?? nowMicros,
        attempts: 0,
        lease_owner: null,
        lease_until: 0,
        fence: 0,
        last_error: null,
        created_at: nowMicros,
        changed_at: nowMicros,
      })
      .onConflict((conflict) =>
        conflict
          .columns(['kind', 'key', 'state'])
          .where(sql<boolean>`state <> 'failed'`)
          .doUpdateSet({ changed_at: nowMicros })
          // Changes nothing; the row is locked all the same.
          .where((at) => at.lit(false)),
      )
      .execute();
  }

  /**
   * Makes sure that a repeating job exists and comes within its time: the clock may have been moved back, or the program
   * set to a shorter period, since it was planned.
   */
  async ensure({ kind, leaseMs, everyMs = 0 }: JobKind): Promise<void> {
    const granted = grantMs({ leaseMs });
    const nowMicros = await this.#database.nowMicros();
    await this.#database.transaction(async (tx) => {
      const job = await tx
        .selectFrom('jobs')
        .select('uid')
        .where('kind', '=', kind)
        .where('state', '<>', 'failed')
        .executeTakeFirst();
      if (job === undefined) await this.add(tx, { kind, key: '', payload: {} }, nowMicros);
      const ofKind = tx.updateTable('jobs').where('kind', '=', kind);
      await ofKind
        .set({ run_at: nowMicros })
        .where('state', '=', 'waiting')
        .where('run_at', '>', nowMicros + Math.max(everyMs, longestRetryMs) * 1_000)
        .execute();
      await ofKind
        .set({ lease_until: nowMicros })
        .where('state', '=', 'running')
        .where('lease_until', '>', nowMicros + granted * 1_000)
        .execute();
    });
  }

  /** Takes one job that is due, or whose holder's lease has run out; its attempts may exceed what its kind allows. */
  async take(kinds: ReadonlyMap<string, JobKind>): Promise<TakenJob | undefined> {
    const nowMicros = await this.#database.nowMicros();
    const names = [...kinds.keys()];
    if ((await this.#due(this.#database.read, names, nowMicros).executeTakeFirst()) === undefined) return undefined;
    return await this.#database.transaction(async (tx) => {
      const due = lockedForUpdateSkipLocked(this.#database.kind, this.#due(tx, names, nowMicros), 'job');
      const job = await due.executeTakeFirst();
      if (job === undefined) return undefined;
      const kind = kinds.get(job.kind);
      const leaseMicros = kind === undefined ? 0 : grantMs(kind) * 1_000;
      return await tx
        .updateTable('jobs')
        .set((at) => ({
          state: 'running',
          attempts: at('attempts', '+', 1),
          fence: at('fence', '+', 1),
          lease_owner: this.#owner,
          lease_until: nowMicros + leaseMicros,
          changed_at: nowMicros,
        }))
        .where('uid', '=', job.uid)
        .returning(['uid', 'kind', 'key', 'payload', 'attempts', 'fence'])
        .executeTakeFirst();
    });
  }

  /** Moves the end of the lease; false when another process has taken over. */
  async renew(job: TakenJob, leaseMs: number): Promise<boolean> {
    const nowMicros = await this.#database.nowMicros();
    return await this.#database.transaction((tx) =>
      this.#change(tx, job, { lease_until: nowMicros + leaseMs * 1_000, changed_at: nowMicros }),
    );
  }

  /**
   * Writes how a run ended; nothing happens when another process has taken over. May throw when the same job is added at this
   * moment; then try again.
   */
  async end(job: TakenJob, ending: Ending): Promise<void> {
    const nowMicros = await this.#database.nowMicros();
    await this.#database.transaction(async (tx) => {
      const free = { lease_owner: null, lease_until: 0, changed_at: nowMicros };
      if (ending.kind === 'failed') {
        await this.#change(tx, job, { ...free, state: 'failed', last_error: ending.lastError });
        return;
      }
      // A job added meanwhile does this one's work.
      if (ending.kind === 'done' || (await isAnotherWaiting(tx, job))) {
        await this.#remove(tx, job);
        return;
      }
      const { inMs, attempts, lastError: last_error } = ending;
      const run_at = nowMicros + inMs * 1_000;
      await this.#change(tx, job, { ...free, state: 'waiting', run_at, attempts, last_error });
    });
  }

  /** Due and not beside a running one of the same kind and key, or abandoned by its holder; longest due first. */
  #due(queries: Database['read'], kinds: readonly string[], nowMicros: number) {
    return queries
      .selectFrom('jobs as job')
      .select(['job.uid', 'job.kind'])
      .where('job.kind', 'in', kinds)
      .where((at) =>
        at.or([
          at.and([
            at('job.state', '=', 'waiting'),
            at('job.run_at', '<=', nowMicros),
            at.not(
              at.exists(
                at
                  .selectFrom('jobs as other')
                  .select('other.uid')
                  .whereRef('other.kind', '=', 'job.kind')
                  .whereRef('other.key', '=', 'job.key')
                  .where('other.state', '=', 'running'),
              ),
            ),
          ]),
          at.and([at('job.state', '=', 'running'), at('job.lease_until', '<=', nowMicros)]),
        ]),
      )
      .orderBy('job.run_at')
      .limit(1);
  }

  async #change(tx: Transaction, job: TakenJob, set: Updateable<Schema['jobs']>): Promise<boolean> {
    const { numUpdatedRows } = await tx
      .updateTable('jobs')
      .set(set)
      .where('uid', '=', job.uid)
      .where('lease_owner', '=', this.#owner)
      .where('fence', '=', job.fence)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  async #remove(tx: Transaction, job: TakenJob): Promise<void> {
    await tx
      .deleteFrom('jobs')
      .where('uid', '=', job.uid)
      .where('lease_owner', '=', this.#owner)
      .where('fence', '=', job.fence)
      .execute();
  }
}

async function isAnotherWaiting(tx: Transaction, { kind, key }: TakenJob): Promise<boolean> {
  const waiting = await tx
    .selectFrom('jobs')
    .select('uid')
    .where('kind', '=', kind)
    .where('key', '=', key)
    .where('state', '=', 'waiting')
    .executeTakeFirst();
  return waiting !== undefined;
}
