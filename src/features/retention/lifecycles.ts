import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import { type Journal, streamOf } from '../../platform/journal/journal.ts';
import type { Log } from '../../platform/log.ts';
import type { LifecycleRuleBody } from '../../wire/admin/lifecycle-schema.ts';
import type { Authority } from '../access/authority.ts';
import type { Deletions } from '../content/deletions.ts';
import { type LastPulls, pullsSince, pullsWrittenMs } from '../content/last-pulls.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { type LifecycleRule, lifecycleRuleOf } from './lifecycle-rule.ts';
import { selectLifecycle } from './lifecycle-selection.ts';
import {
  addItems,
  duePolicies,
  endOpenRun,
  endRun,
  findPolicy,
  findRun,
  findWalk,
  forgetSomeOfRun,
  holdOpenRun,
  itemsOf,
  type LifecycleItem,
  type LifecyclePolicy,
  type LifecycleRun,
  lifecycleWalkName,
  moveNextRun,
  openRun,
  openRuns,
  runsOf,
  writePolicy,
} from './lifecycle-store.ts';
import { ownAuthority } from './own-authority.ts';
import { freshMicros, type Sweep, sweepRepositories } from './purges.ts';
import type { PurgeItem } from './take-selection.ts';
import { saveWalk } from './walk-store.ts';

export type LifecycleParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly deletions: Deletions;
  readonly lastPulls?: LastPulls;
  /** Region of origin of what is written here. */
  readonly region: string;
};

export type LifecycleChange = {
  readonly registryUid: string;
  readonly tenantUid: string;
  readonly rules: readonly LifecycleRuleBody[];
  readonly everyMs: number;
  /** Uid of who asked. */
  readonly actor: string;
};

/** What was pulled of this process is written so often while a run goes on, and its lease extended. */
const pauseMs = 1_000;
/** From setting other rules to the first run with them at least: time to look at a preview. */
const lookMs = 3_600_000;
/** Runs of a registry that can still be looked at. */
const runsKept = 10;
const itemsForgottenAtOnce = 1_000;
const pageItems = 500;
/** Repositories that the problem of a run names. */
const failedNamed = 10;

/**
 * The rules by which content of registries leaves, and their runs. A run is a row before it begins, and has what it took as
 * rows of its own; a run whose process ended goes on in another.
 */
export class Lifecycles {
  readonly #parts: LifecycleParts;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  /** Undefined without rules. */
  async policy(registryUid: string): Promise<LifecyclePolicy | undefined> {
    return await findPolicy(this.#parts.database.read, registryUid);
  }

  /** Newest first. */
  async runs(registryUid: string): Promise<readonly LifecycleRun[]> {
    return await runsOf(this.#parts.database.read, registryUid);
  }

  /**
   * The first run comes when the time from run to run has passed; other rules than before wait for an hour at least. A run that
   * waits or goes on ends with its rules: it takes nothing after this. Throws `purgeInvalid`, `registryUnknown`.
   */
  async set({ registryUid, tenantUid, rules, everyMs, actor }: LifecycleChange): Promise<void> {
    const { journal, clock, region, database } = this.#parts;
    rules.forEach(lifecycleRuleOf);
    const nowMicros = clock.nowMicros();
    await journal.transaction(async (tx, append) => {
      // Locks the tenant's row: two who set rules at once come one after the other.
      await raiseAccessEpoch(tx, tenantUid);
      const registry = await tx
        .selectFrom('registries')
        .where('uid', '=', registryUid)
        .where('is_deleting', '=', 0)
        .select('uid')
        .executeTakeFirst();
      if (registry === undefined) throw new BerthError('registryUnknown');
      const known = await findPolicy(tx, registryUid);
      // Whoever sets rules now and then does not put runs off for ever.
      const dueMicros = Math.min(known?.nextRunAtMicros ?? Number.MAX_SAFE_INTEGER, nowMicros + everyMs * 1000);
      const isSame = JSON.stringify(known?.rules) === JSON.stringify(rules);
      const nextRunAtMicros = isSame ? dueMicros : Math.max(dueMicros, nowMicros + Math.min(everyMs, lookMs) * 1000);
      await writePolicy(tx, registryUid, { rules, everyMs, nextRunAtMicros }, nowMicros);
      // After the policy: who begins a run that is due locks them in this order.
      if (!isSame) await endOpenRun(tx, database.kind, registryUid, { nowMicros, problem: problemOf([], true) });
      const data = { rules, everyMs };
      append({ stream: streamOf(registryUid, region), type: 'lifecycle.updated', version: 1, actor, data });
    });
  }

  /** What rules would delete and keep now: those that are set unless others are given. Throws `purgeInvalid`. */
  preview(
    registryUid: string,
    authority: Authority,
    { rules, signal }: { readonly rules: readonly LifecycleRuleBody[] | undefined; readonly signal: AbortSignal },
  ): AsyncGenerator<PurgeItem> {
    const given = rules?.map(lifecycleRuleOf);
    return this.#sweep(registryUid, authority, { rules: given, isDryRun: true, signal });
  }

  /** Asks for a run now; answers one that has not ended, if there is one. */
  async ask(registryUid: string): Promise<LifecycleRun> {
    const { database } = this.#parts;
    const run = this.#newRun(registryUid);
    return await database.transaction(async (tx) => await openRun(tx, database.kind, run));
  }

  /** A run with its items after a number. Throws `lifecycleRunUnknown`. */
  async run(
    registryUid: string,
    uid: string,
    after: number,
  ): Promise<{ readonly run: LifecycleRun; readonly items: readonly LifecycleItem[] }> {
    const { read } = this.#parts.database;
    // In this order: a run that has ended shows all its items.
    const run = await findRun(read, registryUid, uid);
    if (run === undefined) throw new BerthError('lifecycleRunUnknown', { run: uid });
    return { run, items: await itemsOf(read, uid, after, pageItems) };
  }

  /** Begins what is due, and goes on with what has not ended. */
  async work(job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    await this.#beginDue();
    const problems: unknown[] = [];
    for (const run of await openRuns(this.#parts.database.read)) {
      if (job.signal.aborted) return;
      if (await this.#waitsForPulls(run)) continue;
      // One that fails holds nobody else up.
      await this.#execute(run, job).catch((error: unknown) => problems.push(error));
    }
    if (problems.length > 0)
      throw new AggregateError(problems, 'runs of lifecycle rules failed', { cause: problems[0] });
  }

  /** Rules that keep what was pulled look when every process has written what was pulled until the run was asked for. */
  async #waitsForPulls({ registryUid, askedAtMicros }: LifecycleRun): Promise<boolean> {
    if (this.#parts.clock.nowMicros() >= askedAtMicros + pullsWrittenMs * 1000) return false;
    const policy = await this.policy(registryUid);
    return policy?.rules.some(({ action }) => action === 'keepPulled') === true;
  }

  async #beginDue(): Promise<void> {
    const { database, clock } = this.#parts;
    const nowMicros = clock.nowMicros();
    for (const { registryUid, nextRunAtMicros, everyMs } of await duePolicies(database.read, nowMicros)) {
      const times = { from: nextRunAtMicros, to: nowMicros + everyMs * 1000 };
      await database.transaction(async (tx) => {
        if (await moveNextRun(tx, registryUid, times)) await openRun(tx, database.kind, this.#newRun(registryUid));
      });
    }
  }

  async #execute(run: LifecycleRun, job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    const { database, clock, log, lastPulls } = this.#parts;
    const { registryUid } = run;
    let position = await findWalk(database.read, run);
    const policy = await this.policy(registryUid);
    // In this order: rules that are replaced later end the run, which each step of it sees.
    if ((await findRun(database.read, registryUid, run.uid))?.endedAtMicros !== undefined) return;
    const takenBack = new AbortController();
    const hold = async (tx: Transaction) => {
      if (!(await holdOpenRun(tx, database.kind, run.uid))) takenBack.abort();
      takenBack.signal.throwIfAborted();
    };
    const record = async (tx: Transaction, items: readonly PurgeItem[]) => {
      await hold(tx);
      await addItems(tx, run.uid, items);
    };
    let pausedMs = clock.monotonicMs();
    const pause = async () => {
      if (clock.monotonicMs() < pausedMs + pauseMs) return;
      await lastPulls?.flush();
      await job.renew();
      const walk = { name: lifecycleWalkName(registryUid), position, nowMicros: clock.nowMicros() };
      await database.transaction(async (tx) => {
        await hold(tx);
        await saveWalk(tx, walk);
      });
      pausedMs = clock.monotonicMs();
    };
    const sweep = {
      rules: policy?.rules.map(lifecycleRuleOf) ?? [],
      isDryRun: false,
      signal: AbortSignal.any([job.signal, takenBack.signal]),
      pause,
      record,
      after: position.after,
      done: (repository: string) => {
        position = { ...position, after: repository };
      },
      failed: (repository: string, error: unknown) => {
        log.error('lifecycle rules cannot be applied', { registryUid, repository, error });
        position = { ...position, failed: [...position.failed, repository] };
      },
    };
    let isGone = false;
    try {
      for await (const item of this.#sweep(registryUid, ownAuthority('lifecycle policy'), sweep)) {
        // What is deleted is written with its deletion. What stays is told by previews: it would be all there is, each day.
        if (item.outcome === 'kept' || item.outcome === 'deleted') continue;
        await database.transaction(async (tx) => await record(tx, [item]));
      }
    } catch (error) {
      isGone = error instanceof BerthError && error.error === 'registryUnknown';
      if (!isGone && !takenBack.signal.aborted) throw error;
    }
    if (job.signal.aborted) return;
    await database.transaction(async (tx) => {
      const isTakenBack = !(await holdOpenRun(tx, database.kind, run.uid));
      const problem = isGone ? new BerthError('registryUnknown').message : problemOf(position.failed, isTakenBack);
      await endRun(tx, run, { nowMicros: clock.nowMicros(), problem });
    });
    log.info('lifecycle rules were applied', { registryUid, run: run.uid });
    await this.#forgetOldRuns(registryUid);
  }

  async *#sweep(
    registryUid: string,
    authority: Authority,
    given: Omit<Sweep, 'registryUid' | 'takesRepository' | 'select' | 'includesLocked'> & {
      readonly rules: readonly LifecycleRule[] | undefined;
    },
  ): AsyncGenerator<PurgeItem> {
    const { read } = this.#parts.database;
    await this.#parts.lastPulls?.flush();
    const rules = given.rules ?? (await this.policy(registryUid))?.rules.map(lifecycleRuleOf) ?? [];
    const nowMicros = this.#parts.clock.nowMicros();
    const moment = {
      nowMicros,
      freshSinceMicros: nowMicros - freshMicros,
      pullsSinceMicros: await pullsSince(read),
    };
    yield* sweepRepositories(this.#parts, authority, {
      registryUid,
      takesRepository: (name) => rules.some((rule) => rule.matchesRepository(name)),
      select: (facts, name) => selectLifecycle(facts, name, rules, moment),
      includesLocked: false,
      ...given,
    });
  }

  async #forgetOldRuns(registryUid: string): Promise<void> {
    const { database } = this.#parts;
    const runs = await runsOf(database.read, registryUid);
    for (const { uid } of runs.filter((run) => run.endedAtMicros !== undefined).slice(runsKept))
      while (await database.transaction(async (tx) => await forgetSomeOfRun(tx, uid, itemsForgottenAtOnce)));
  }

  #newRun(registryUid: string): LifecycleRun {
    return {
      uid: this.#parts.ids.uid(),
      registryUid,
      askedAtMicros: this.#parts.clock.nowMicros(),
      endedAtMicros: undefined,
      tags: 0,
      manifests: 0,
      freedBytes: 0,
      problem: undefined,
    };
  }
}

function problemOf(failed: readonly string[], isTakenBack: boolean): string | undefined {
  const problems = isTakenBack ? ['the rules were changed meanwhile, and what was left stays'] : [];
  if (failed.length > 0) {
    const more = failed.length > failedNamed ? ` and ${failed.length - failedNamed} more` : '';
    const names = failed.slice(0, failedNamed).join(', ');
    problems.push(`a fault of the server, which is in its log, left out ${names}${more}`);
  }
  return problems.length === 0 ? undefined : problems.join('; ');
}
