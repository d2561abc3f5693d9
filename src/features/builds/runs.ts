import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import type { Append, Journal } from '../../platform/journal/journal.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { refuse } from '../resources/refuse.ts';
import { takeContext } from './context-store.ts';
import type { NewRun, Run } from './run.ts';
import { finishRun } from './run-ending.ts';
import { appendRunEvent } from './run-events.ts';
import type { RunFilter } from './run-filter.ts';
import { runIdOf } from './run-id.ts';
import { appendOwnLines } from './run-log-store.ts';
import { sealOrder } from './run-order-secrets.ts';
import {
  findRun,
  findRunOfKey,
  insertRun,
  isFinal,
  listRunRows,
  lockedRun,
  nextRunNumber,
  nothingYet,
  type RunFacts,
  type RunRow,
  runOf,
} from './run-store.ts';

export type RunsParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
  readonly jobs: Pick<Jobs, 'add'>;
  /** Region of origin of the events. */
  readonly region: string;
  /** Of one registry, that wait for an agent. */
  readonly maxQueued: number;
};

/** Rows that are looked at while a list looks for what its filter wants; each may have half a MiB. */
const slice = 100;
const maxRows = 20_000;
export const maxListed = 1_000;

/** The runs of registries: asked for, looked at, cancelled. Agents take them through `RunLeases`. */
export class Runs {
  readonly #parts: RunsParts;

  constructor(parts: RunsParts) {
    this.#parts = parts;
  }

  /**
   * Queues a run; the first agent of its pool that is free takes it. With a key that the registry has seen it answers the run
   * that was made then. Throws `contextUnknown` for an upload that is not there, `queueFull`.
   */
  async schedule(run: NewRun): Promise<Run> {
    const { journal } = this.#parts;
    return runOf(await journal.transaction(async (tx, append) => await this.scheduleWithRoom(tx, append, run)));
  }

  /** The same as part of a change. */
  async scheduleWithRoom(tx: Transaction, append: Append, run: NewRun): Promise<RunRow> {
    const { row, isNew } = await this.#add(tx, append, run);
    if (isNew) await this.#refuseTooMany(tx, run.registryUid);
    return row;
  }

  /** The same for what nobody tells again, or starts a task of which no run waits: it is not refused for its number. */
  async scheduleIn(tx: Transaction, append: Append, run: NewRun): Promise<RunRow> {
    return (await this.#add(tx, append, run)).row;
  }

  async find(registryUid: string, runId: string): Promise<Run | undefined> {
    const row = await findRun(this.#parts.database.read, registryUid, runId);
    return row && runOf(row);
  }

  /** Newest first, at most `top`; `before` is the run that an earlier page ended with. */
  async list(registryUid: string, filter: RunFilter, top: number, before?: string): Promise<Run[]> {
    const { read } = this.#parts.database;
    const start = before === undefined ? undefined : await findRun(read, registryUid, before);
    const found: Run[] = [];
    let number = start?.number ?? Number.MAX_SAFE_INTEGER;
    for (let seen = 0; found.length < top && seen < maxRows; ) {
      const rows = await listRunRows(read, registryUid, { before: number, limit: slice });
      for (const run of rows.map(runOf)) if (found.length < top && filter(run)) found.push(run);
      seen += rows.length;
      if (rows.length < slice) break;
      number = rows.at(-1)?.number ?? 0;
    }
    return found;
  }

  /**
   * One that waits ends at once; one that an agent has ends when the agent hears of it, with its next call. One that has ended
   * stays as it is. Throws `runUnknown`.
   */
  async cancel(registryUid: string, runId: string, actor: string): Promise<Run> {
    return await this.#change(registryUid, runId, async (tx, row, append) => {
      if (isFinal(row.status) || row.canceled_at !== null) return row;
      const nowMicros = this.#parts.clock.nowMicros();
      if (row.status === 'Queued') {
        const ending = { status: 'Canceled', nowMicros, outcome: nothingYet } as const;
        return await finishRun({ ...this.#parts, tx, append }, row, { ...ending, actor });
      }
      const change = { canceled_at: nowMicros, changed_at: nowMicros };
      await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
      return { ...row, ...change };
    });
  }

  /** Whether it is kept when others of its age go. Throws `runUnknown`. */
  async update(
    registryUid: string,
    runId: string,
    { isArchiveEnabled }: { readonly isArchiveEnabled: boolean },
    actor: string,
  ): Promise<Run> {
    return await this.#change(registryUid, runId, async (tx, row, append) => {
      const change = { is_archived: isArchiveEnabled ? 1 : 0, changed_at: this.#parts.clock.nowMicros() };
      if (row.is_archived === change.is_archived) return row;
      await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
      const changed = { ...row, ...change };
      appendRunEvent(append, 'run.changed', changed, { region: this.#parts.region, actor });
      return changed;
    });
  }

  /** Runs of a pool that wait for an agent; without a name of the pool that every registry has. */
  async countQueued(registryUid: string, agentPoolName?: string): Promise<number> {
    const { count } = await this.#parts.database.read
      .selectFrom('runs')
      .select((select) => select.fn.countAll<number>().as('count'))
      .where('pool_key', '=', (agentPoolName ?? '').toLowerCase())
      .where('registry_uid', '=', registryUid)
      .where('finished_at', 'is', null)
      .where('status', '=', 'Queued')
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  async #add(tx: Transaction, append: Append, run: NewRun): Promise<{ readonly row: RunRow; readonly isNew: boolean }> {
    if (run.logTemplate !== undefined)
      throw refuse('runRequestInvalid', {
        message: 'Logs are kept with their runs here, not as artifacts of a repository: leave the log template out.',
        target: 'logTemplate',
      });
    const known = run.key === undefined ? undefined : await findRunOfKey(tx, run.registryUid, run.key);
    if (known !== undefined) return { row: known, isNew: false };
    const row = this.#newRow(run, await nextRunNumber(tx, run.registryUid));
    if (run.contextPath !== undefined) await takeContext(tx, run.registryUid, run.contextPath, row.created_at);
    if (!(await insertRun(tx, row))) {
      const other = await findRunOfKey(tx, run.registryUid, run.key ?? '');
      if (other !== undefined) return { row: other, isNew: false };
      throw new BerthError('busy');
    }
    const actor = run.authority.kind === 'principal' ? run.authority.principalId : 'builds';
    appendRunEvent(append, 'run.queued', row, { region: this.#parts.region, actor });
    return { row: run.notes === undefined ? row : await withLines(tx, row, run.notes), isNew: true };
  }

  /** After a run was added: its number was taken first, so that nobody else adds one before the transaction ends. */
  async #refuseTooMany(tx: Transaction, registryUid: string): Promise<void> {
    const { count } = await tx
      .selectFrom('runs')
      .select((select) => select.fn.countAll<number>().as('count'))
      .where('registry_uid', '=', registryUid)
      .where('finished_at', 'is', null)
      .where('status', '=', 'Queued')
      .executeTakeFirstOrThrow();
    if (Number(count) > this.#parts.maxQueued) throw new BerthError('queueFull', { limit: this.#parts.maxQueued });
  }

  async #change(
    registryUid: string,
    runId: string,
    change: (tx: Transaction, row: RunRow, append: Append) => Promise<RunRow>,
  ): Promise<Run> {
    const { database, journal } = this.#parts;
    const found = await findRun(database.read, registryUid, runId);
    const row = await journal.transaction(async (tx, append) => {
      const current = found && (await lockedRun(tx, database.kind, found.uid));
      if (current === undefined) throw new BerthError('runUnknown');
      return await change(tx, current, append);
    });
    return runOf(row);
  }

  #newRow(run: NewRun, number: number): RunRow {
    const uid = this.#parts.ids.uid();
    const nowMicros = this.#parts.clock.nowMicros();
    return {
      uid,
      registry_uid: run.registryUid,
      number,
      run_id: runIdOf(run.registryUid, number),
      status: 'Queued',
      run_type: run.runType,
      pool_key: (run.agentPoolName ?? '').toLowerCase(),
      task_uid: run.task?.uid ?? null,
      once_key: run.key ?? null,
      facts: JSON.stringify(factsOf(run)),
      result: JSON.stringify(nothingYet),
      is_archived: run.isArchiveEnabled ? 1 : 0,
      timeout_seconds: run.timeoutSeconds,
      sealed_order: sealOrder(this.#parts.sealer, uid, run),
      tokens: '[]',
      sealed_masks: null,
      context_path: run.contextPath ?? null,
      created_at: nowMicros,
      started_at: null,
      finished_at: null,
      changed_at: nowMicros,
      attempt: 0,
      canceled_at: null,
      lease_verifier: null,
      lease_until: 0,
      agent: null,
      log_received: 0,
      log_size: 0,
      is_log_after_return: 0,
      log_key: null,
    };
  }
}

async function withLines(tx: Transaction, row: RunRow, lines: readonly string[]): Promise<RunRow> {
  const change = await appendOwnLines(tx, row, lines);
  await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
  return { ...row, ...change };
}

/** No secret is among them. */
function factsOf(run: NewRun): RunFacts {
  return {
    platforms: [...run.platforms],
    cpus: run.cpus,
    trigger: run.trigger.kind === 'image' ? { ...run.trigger, images: [...run.trigger.images] } : run.trigger,
    customRegistries: run.customRegistries.map(({ server }) => server),
    ...(run.agentPoolName === undefined ? {} : { agentPoolName: run.agentPoolName }),
    ...(run.task === undefined ? {} : { taskName: run.task.name }),
    ...(run.updateTriggerToken === undefined ? {} : { updateTriggerToken: run.updateTriggerToken }),
  };
}
