import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import type { Append, Journal } from '../../platform/journal/journal.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { hashSecret } from '../../platform/keys/secret-hash.ts';
import type { Log } from '../../platform/log.ts';
import type { LeaseRequest, LeaseState, RunOrder, RunResult } from '../../wire/builds/agent-protocol.ts';
import type { AgentCall } from './agent-call.ts';
import type { AgentPool } from './agent-tokens.ts';
import { planWatch } from './overdue-runs.ts';
import { poolTerms } from './pool-capacity.ts';
import { type LearnedHide, RecentHides } from './recent-hides.ts';
import { type Ending, finishRun } from './run-ending.ts';
import { appendRunEvent } from './run-events.ts';
import { appendLogBytes } from './run-log-store.ts';
import { hiding, learnable, lettersOf, withCrlf } from './run-log-text.ts';
import { type MeasureRun, measureRun } from './run-measures.ts';
import { type ComposeOrder, reasonOf } from './run-order.ts';
import { masksVersion, openMasks, openOrder, sealMasks } from './run-order-secrets.ts';
import { isRunQueued, nextQueued } from './run-queue.ts';
import { keptReport } from './run-report.ts';
import { lockedRun, nothingYet, type RunRow, runOf } from './run-store.ts';

/** Seconds without a call after which a run is given to another agent. */
export const leaseSeconds = 30;

/** An agent waits some 60 seconds for an answer, and 25 of them may be over. */
const longestLookMs = 10_000;

/** For an agent that takes runs of strangers; then one that refuses them does, which says why. */
const strangersWaitMicros = 600_000_000;

export type RunLeasesParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly log: Log;
  readonly region: string;
  readonly composeOrder: ComposeOrder;
  readonly measure: MeasureRun;
  /** Bytes of a run's log that are kept. */
  readonly maxLogBytes: number;
};

/** What became of bytes of a log. */
export type LogAnswer =
  | { readonly kind: 'kept'; readonly state: LeaseState }
  /** Others are next. */
  | { readonly kind: 'elsewhere'; readonly offset: number };

type Appended = { readonly runUid: string; readonly answer: LogAnswer };

/** Of one run, whose row is written with each piece of its log: 50 secrets of 25 KiB, and what is hidden beside each. */
const mostMaskLetters = 50 * (25 + 5) * 1024;
/** Those of most runs are short; of the longest, which take some MiB each and long to learn, so many as 16 runs have. */
const mostLearned = { letters: 16 * 128 * 1024, count: 1_024 };

/**
 * Runs in the hands of agents. A lease is a secret that stands for one run and one attempt; every call with it renews it, and
 * every method that takes one throws `leaseLost` when the run was given to another, has ended, or is gone.
 */
export class RunLeases {
  readonly #parts: RunLeasesParts;
  /** Of leases whose logs come: secrets are learned once, not for each piece of a log. */
  readonly #hides = new RecentHides(mostLearned);
  readonly #listeners = new Set<(runUid: string) => void>();

  constructor(parts: RunLeasesParts) {
    this.#parts = parts;
  }

  /** The next run of the pool; undefined while none waits. A run that cannot be handed out ends as `Error` and says why. */
  async take(pool: AgentPool, request: LeaseRequest, from: AgentCall): Promise<RunOrder | undefined> {
    const { ids, log, clock } = this.#parts;
    const { agent } = request;
    const endMs = clock.monotonicMs() + longestLookMs;
    // What key vaults took for runs that could not be handed out is taken from whoever waits: he asks again.
    while (clock.monotonicMs() < endMs) {
      const lease = `${ids.uid()}${ids.uid()}`;
      const row = await this.#takeRow(pool, request, lease);
      if (row === undefined) return undefined;
      try {
        const order = await this.#orderOf(row, lease, pool, from);
        log.info('run taken', { runId: row.run_id, registryUid: row.registry_uid, agent, attempt: row.attempt });
        return order;
      } catch (error) {
        if (!(error instanceof BerthError)) log.error('a run could not be handed out', { runId: row.run_id, error });
        await this.#finish(lease, { status: 'Error', outcome: { ...nothingYet, errorMessage: reasonOf(error) } });
      }
    }
    return undefined;
  }

  /** Keeps the lease; tells whether the run shall end. */
  async renew(lease: string): Promise<LeaseState> {
    const untilMicros = await this.#untilMicros();
    return await this.#change(lease, async (tx, row, append) => {
      const change = { lease_until: untilMicros, status: 'Running' };
      await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
      if (row.status !== 'Running') this.#tell(append, { ...row, ...change });
      return stateOf(row);
    });
  }

  /** Adds to the log what begins at `offset` of what this run's agents sent. */
  async appendLog(lease: string, offset: number, bytes: Uint8Array): Promise<LogAnswer> {
    const untilMicros = await this.#untilMicros();
    // Writers wait for no search.
    const { hide, version } = await this.#learned(lease);
    const shown = hide(bytes);
    const appended = await this.#change(lease, async (tx, row, append): Promise<Appended | undefined> => {
      if (masksVersion(row.sealed_masks) !== version) return undefined;
      if (row.log_received !== offset)
        return { runUid: row.uid, answer: { kind: 'elsewhere', offset: row.log_received } };
      const change = {
        ...(await this.#keepLog(tx, row, shown)),
        log_received: offset + bytes.length,
        lease_until: untilMicros,
        changed_at: this.#parts.clock.nowMicros(),
        status: 'Running',
      };
      await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
      if (row.status !== 'Running') this.#tell(append, { ...row, ...change });
      return { runUid: row.uid, answer: { kind: 'kept', state: stateOf(row) } };
    });
    if (appended === undefined) {
      // Secrets came since, by another process.
      this.#hides.delete(lease);
      return await this.appendLog(lease, offset, bytes);
    }
    this.#tellOfLog(appended.runUid);
    return appended.answer;
  }

  /** Texts that its log must not show from now on, beside those that it must not show already. */
  async hide(lease: string, masked: readonly string[]): Promise<void> {
    const { sealer } = this.#parts;
    await this.#change(lease, async (tx, { uid, sealed_masks: sealed }) => {
      const all = [...new Set([...(sealed === null ? [] : openMasks(sealer, uid, sealed)), ...masked])];
      if (lettersOf(all) > mostMaskLetters)
        throw new BerthError('requestInvalid', 'its secrets are more than 50 of 25 KiB together');
      await tx
        .updateTable('runs')
        .set({ sealed_masks: sealMasks(sealer, uid, all) })
        .where('uid', '=', uid)
        .execute();
    });
    this.#hides.delete(lease);
  }

  /** Calls `hear` when the log of a run grew by this process, and when it ended. Returns how to stop. */
  onLog(hear: (runUid: string) => void): () => void {
    this.#listeners.add(hear);
    return () => this.#listeners.delete(hear);
  }

  /** What the agent says came of it; its log is whole by then. */
  async finish(lease: string, result: RunResult): Promise<void> {
    const { status, message } = result;
    // It may quote a command, and is shown to more people than the log.
    const shown = message && (await this.#withoutSecrets(lease, message));
    const outcome = { ...keptReport(result), ...(shown === undefined ? {} : { errorMessage: shown }) };
    await this.#finish(lease, { status, outcome, isLogWhole: true }, result.cpuSeconds);
  }

  /** The run itself, for what is done with its rights. */
  async held(lease: string): Promise<RunRow> {
    return await this.#held(this.#parts.database.read, lease);
  }

  async #takeRow(
    pool: AgentPool,
    { agent, refusesStrangers = false }: LeaseRequest,
    lease: string,
  ): Promise<RunRow | undefined> {
    const { database, journal, clock, jobs } = this.#parts;
    // Agents that wait ask again and again: a look writes nothing.
    if (!(await isRunQueued(database.read, pool))) return undefined;
    const untilMicros = await this.#untilMicros();
    const isLeft = (row: RunRow) => refusesStrangers && this.#isLeftToOthers(row);
    return await journal.transaction(async (tx, append) => {
      const row = await nextQueued(tx, database.kind, pool, isLeft);
      if (row === undefined) return undefined;
      const nowMicros = clock.nowMicros();
      const change = {
        status: 'Started',
        attempt: row.attempt + 1,
        agent,
        started_at: row.started_at ?? nowMicros,
        changed_at: nowMicros,
        lease_verifier: hashSecret(lease),
        lease_until: untilMicros,
      };
      await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
      await planWatch(tx, jobs, nowMicros);
      const taken = { ...row, ...change };
      this.#tell(append, taken);
      return taken;
    });
  }

  /** By agents that refuse strangers: for a while. */
  #isLeftToOthers(row: RunRow): boolean {
    const { clock, sealer } = this.#parts;
    const isOld = clock.nowMicros() - row.created_at >= strangersWaitMicros;
    if (isOld || !isOfPullRequest(row) || row.sealed_order === null) return false;
    try {
      const { authority, customRegistries } = openOrder(sealer, row.uid, row.sealed_order);
      return authority.kind === 'none' && customRegistries.length === 0;
    } catch {
      // Whoever takes it ends it, and says why.
      return false;
    }
  }

  /** Its tokens are written down before the agent has them. */
  async #orderOf(row: RunRow, lease: string, pool: AgentPool, from: AgentCall): Promise<RunOrder> {
    const { sealer, composeOrder } = this.#parts;
    if (row.sealed_order === null) throw new Error('the order of a run is gone before its end');
    const { order, tokenUids } = await composeOrder(row, openOrder(sealer, row.uid, row.sealed_order), {
      lease,
      leaseSeconds,
      pool,
      terms: await poolTerms(this.#parts.database.read, pool),
      from,
    });
    const untilMicros = await this.#untilMicros();
    await this.#change(lease, async (tx, current) => {
      const tokens = JSON.stringify([...JSON.parse(current.tokens), ...tokenUids]);
      const masks = sealMasks(sealer, row.uid, order.masked);
      const change = { tokens, sealed_masks: masks, lease_until: untilMicros };
      await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
    });
    return order;
  }

  async #withoutSecrets(lease: string, text: string): Promise<string> {
    // Some may have come by another process.
    this.#hides.delete(lease);
    const { hide } = await this.#learned(lease);
    return Buffer.from(hide(Buffer.from(text))).toString();
  }

  async #learned(lease: string): Promise<LearnedHide> {
    const known = this.#hides.get(lease);
    if (known !== undefined) return known;
    const { uid, sealed_masks: masks } = await this.held(lease);
    const secrets = learnable(masks === null ? [] : openMasks(this.#parts.sealer, uid, masks));
    const learned = { hide: hiding(secrets), version: masksVersion(masks), letters: lettersOf(secrets) };
    this.#hides.keep(lease, learned);
    return learned;
  }

  async #keepLog(tx: Transaction, row: RunRow, bytes: Uint8Array) {
    const { maxLogBytes } = this.#parts;
    const text = withCrlf(bytes, row.is_log_after_return === 1);
    const left = Math.max(0, maxLogBytes - row.log_size);
    const isCut = text.bytes.length > left;
    const kept = isCut && left > 0 ? Buffer.concat([text.bytes.subarray(0, left), tooLong]) : text.bytes;
    const { log_size } = await appendLogBytes(tx, row, left === 0 ? new Uint8Array() : kept);
    return { log_size, is_log_after_return: text.isAfterReturn ? 1 : 0 };
  }

  async #finish(
    lease: string,
    ending: Pick<Ending, 'status' | 'outcome' | 'isLogWhole'>,
    cpuSeconds?: number,
  ): Promise<void> {
    const { clock, jobs, region, measure } = this.#parts;
    this.#hides.delete(lease);
    const finished = await this.#change(lease, async (tx, row, append) => {
      return await finishRun({ tx, append, jobs, region }, row, {
        ...ending,
        nowMicros: clock.nowMicros(),
        actor: row.agent ?? 'builds',
      });
    });
    this.#tellOfLog(finished.uid);
    measureRun(measure, finished, cpuSeconds);
  }

  #tellOfLog(runUid: string): void {
    for (const hear of this.#listeners) hear(runUid);
  }

  async #change<T>(lease: string, work: (tx: Transaction, row: RunRow, append: Append) => Promise<T>): Promise<T> {
    const { database, journal } = this.#parts;
    return await journal.transaction(async (tx, append) => {
      const uid = await this.#heldUid(tx, lease);
      const row = await lockedRun(tx, database.kind, uid);
      // Given to another while this waited for the lock.
      if (row === undefined || row.lease_verifier !== hashSecret(lease)) throw new BerthError('leaseLost');
      return await work(tx, row, append);
    });
  }

  async #held(queries: Queries, lease: string): Promise<RunRow> {
    const row = await queries
      .selectFrom('runs')
      .selectAll()
      .where('lease_verifier', '=', hashSecret(lease))
      .executeTakeFirst();
    if (row === undefined) throw new BerthError('leaseLost');
    return row;
  }

  /** The rest of a row, with its secrets, is long: it is read with its lock alone. */
  async #heldUid(queries: Queries, lease: string): Promise<string> {
    const row = await queries
      .selectFrom('runs')
      .select('uid')
      .where('lease_verifier', '=', hashSecret(lease))
      .executeTakeFirst();
    if (row === undefined) throw new BerthError('leaseLost');
    return row.uid;
  }

  #tell(append: Append, row: RunRow): void {
    const type = row.status === 'Started' ? 'run.started' : 'run.changed';
    appendRunEvent(append, type, row, { region: this.#parts.region, actor: row.agent ?? 'builds' });
  }

  async #untilMicros(): Promise<number> {
    return (await this.#parts.database.nowMicros()) + leaseSeconds * 1_000_000;
  }
}

const tooLong = Buffer.from('\r\nThe log is longer than this installation keeps: what follows is left out.\r\n');

function isOfPullRequest(row: RunRow): boolean {
  const { trigger } = runOf(row);
  return trigger.kind === 'source' && trigger.eventType === 'pullrequest';
}

function stateOf({ canceled_at: canceledAt }: RunRow): LeaseState {
  return { isCanceled: canceledAt !== null, leaseSeconds };
}
