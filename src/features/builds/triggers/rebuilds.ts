import { z } from 'zod';
import type { Clock } from '../../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../../platform/database/database.ts';
import type { Ids } from '../../../platform/ids.ts';
import type { Append, Journal } from '../../../platform/journal/journal.ts';
import type { Log } from '../../../platform/log.ts';
import type { Runs } from '../runs.ts';
import { prepareTaskRun } from '../tasks/prepare-task-run.ts';
import { isFaultOfTask } from '../tasks/task-fault.ts';
import type { TaskSecretParts } from '../tasks/task-secrets.ts';
import { TaskGraph } from './task-graph.ts';
import { readGraph } from './task-images.ts';

export type RebuildsParts = TaskSecretParts & {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly runs: Pick<Runs, 'scheduleIn'>;
};

/** One task of a rebuild; uids. */
export type RebuildStep = { readonly taskUid: string; readonly waitsFor: readonly string[] };

const weekMicros = 7 * 24 * 3_600 * 1_000_000;

type StepOf = { readonly rebuildUid: string; readonly registryUid: string; readonly taskUid: string };

const waitsForSchema = z.array(z.string());

/**
 * Rebuilds tasks with everything that stands on them, each when those that it waits for have succeeded. What stands on one
 * that failed is skipped. While a task has its turn before it, its base images do not start it besides.
 */
export class Rebuilds {
  readonly #parts: RebuildsParts;

  constructor(parts: RebuildsParts) {
    this.#parts = parts;
  }

  /** Begins with the tasks that wait for none, and skips those that cannot be run; the steps are in the order in which they can be done. */
  async begin(registryUid: string, taskUids: readonly string[]): Promise<readonly RebuildStep[]> {
    const { journal, ids, clock } = this.#parts;
    return await journal.transaction(async (tx, append) => {
      const graph = new TaskGraph(await readGraph(tx, registryUid));
      const steps = graph.rebuildOrder(taskUids).map(({ uid, waitsFor }) => ({ taskUid: uid, waitsFor }));
      const rebuildUid = ids.uid();
      await tx
        .deleteFrom('task_rebuild_steps')
        .where('registry_uid', '=', registryUid)
        .where('created_at', '<', clock.nowMicros() - 4 * weekMicros)
        .execute();
      for (const { taskUid, waitsFor } of steps)
        await tx
          .insertInto('task_rebuild_steps')
          .values({
            rebuild_uid: rebuildUid,
            task_uid: taskUid,
            registry_uid: registryUid,
            waits_for: JSON.stringify(waitsFor),
            state: 'waiting',
            created_at: clock.nowMicros(),
          })
          .execute();
      await this.#goOn(tx, append, rebuildUid);
      return steps;
    });
  }

  /** Goes on where the end of a run lets it. The same end told twice changes nothing. */
  async finished(run: {
    readonly runId: string;
    readonly status: string;
    readonly taskUid: string | null;
  }): Promise<void> {
    const { taskUid, runId, status } = run;
    if (taskUid === null) return;
    await this.#parts.journal.transaction(async (tx, append) => {
      const ended = await tx
        .updateTable('task_rebuild_steps')
        .set({ state: status === 'Succeeded' ? 'succeeded' : 'failed' })
        .where('task_uid', '=', taskUid)
        .where('run_id', '=', runId)
        .where('state', '=', 'started')
        .returning('rebuild_uid')
        .execute();
      for (const { rebuild_uid } of ended) await this.#goOn(tx, append, rebuild_uid);
    });
  }

  async #goOn(tx: Transaction, append: Append, rebuildUid: string): Promise<void> {
    const rows = await tx
      .selectFrom('task_rebuild_steps')
      .selectAll()
      .where('rebuild_uid', '=', rebuildUid)
      .orderBy('task_uid')
      .execute();
    const states = new Map(rows.map((row) => [row.task_uid, row.state]));
    const steps = rows.map((row) => ({ ...row, waitsFor: waitsForSchema.parse(JSON.parse(row.waits_for)) }));
    for (let isChanged = true; isChanged; ) {
      isChanged = false;
      for (const { task_uid: taskUid, registry_uid: registryUid, waitsFor } of steps) {
        if (states.get(taskUid) !== 'waiting') continue;
        // A task that was deleted meanwhile keeps nobody waiting.
        const before = waitsFor.map((uid) => states.get(uid) ?? 'succeeded');
        const isLost = before.some((state) => state === 'failed' || state === 'skipped');
        if (!isLost && before.some((state) => state !== 'succeeded')) continue;
        if (isLost) await setState(tx, { rebuildUid, taskUid }, { state: 'skipped' });
        const state = isLost ? 'skipped' : await this.#start(tx, append, { rebuildUid, registryUid, taskUid });
        states.set(taskUid, state);
        isChanged = true;
      }
    }
  }

  async #start(
    tx: Transaction,
    append: Append,
    { rebuildUid, registryUid, taskUid }: StepOf,
  ): Promise<'started' | 'skipped'> {
    const runId = await this.#queue(tx, append, { rebuildUid, registryUid, taskUid });
    const change =
      runId === undefined ? ({ state: 'skipped' } as const) : ({ state: 'started', run_id: runId } as const);
    await setState(tx, { rebuildUid, taskUid }, change);
    return change.state;
  }

  /** The id of the run; undefined for a task that is gone, or that cannot be run: it keeps no other waiting. */
  async #queue(tx: Transaction, append: Append, { rebuildUid, registryUid, taskUid }: StepOf) {
    const { runs, log } = this.#parts;
    const key = `rebuild/${rebuildUid}/${taskUid}`;
    try {
      const run = await prepareTaskRun(this.#parts, tx, { taskUid, registryUid, trigger: { kind: 'manual' }, key });
      return run && (await runs.scheduleIn(tx, append, run)).run_id;
    } catch (error) {
      if (!isFaultOfTask(error)) throw error;
      log.warn('task could not be started in its rebuild', { taskUid, error });
      return undefined;
    }
  }
}

/** Whether a task has its turn in a rebuild before it. A turn that did not come in a week does not come any more. */
export async function isInRebuild(queries: Queries, taskUid: string, nowMicros: number): Promise<boolean> {
  const row = await queries
    .selectFrom('task_rebuild_steps')
    .select('task_uid')
    .where('task_uid', '=', taskUid)
    .where('state', '=', 'waiting')
    .where('created_at', '>', nowMicros - weekMicros)
    .executeTakeFirst();
  return row !== undefined;
}

async function setState(
  tx: Transaction,
  { rebuildUid, taskUid }: Pick<StepOf, 'rebuildUid' | 'taskUid'>,
  change: { readonly state: 'started' | 'skipped'; readonly run_id?: string },
): Promise<void> {
  await tx
    .updateTable('task_rebuild_steps')
    .set(change)
    .where('rebuild_uid', '=', rebuildUid)
    .where('task_uid', '=', taskUid)
    .execute();
}
