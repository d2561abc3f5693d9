import type { Database, Transaction } from '../../../platform/database/database.ts';
import type { TimerTrigger } from '../../../wire/arm/task-schema.ts';
import type { Resource } from '../../resources/resource.ts';
import { isEnabled, type StoredTask } from './task.ts';
import { nextOccurrence, parseTimerSchedule } from './timer-schedule.ts';

/** A timer that is due. */
export type DueTimer = {
  readonly taskUid: string;
  readonly name: string;
  readonly registryUid: string;
  readonly schedule: string;
  readonly nextAtMicros: number;
};

/** Brings the rows of a task's timers in line. A timer that was there with the same schedule keeps its next occurrence. */
export async function writeTimers(
  tx: Transaction,
  { uid, changedAtMicros }: Resource,
  task: StoredTask,
  registryUid: string,
): Promise<void> {
  const wanted = isEnabled(task) ? (task.trigger?.timerTriggers ?? []).filter(isEnabled) : [];
  const known = await tx.selectFrom('task_timers').selectAll().where('task_uid', '=', uid).execute();
  const kept = known.filter((row) => wanted.some((each) => isRow(each, row)));
  for (const row of known.filter((each) => !kept.includes(each)))
    await tx.deleteFrom('task_timers').where('task_uid', '=', uid).where('name', '=', row.name).execute();
  for (const { name, schedule } of wanted.filter((each) => !kept.some((row) => isRow(each, row)))) {
    const nextAt = nextOccurrence(parseTimerSchedule(schedule), changedAtMicros);
    if (nextAt === undefined) continue;
    const row = { task_uid: uid, name, registry_uid: registryUid, schedule, next_at: nextAt };
    await tx.insertInto('task_timers').values(row).execute();
  }
}

function isRow(timer: TimerTrigger, row: { readonly name: string; readonly schedule: string }): boolean {
  return timer.name === row.name && timer.schedule === row.schedule;
}

export async function forgetTimers(tx: Transaction, taskUid: string): Promise<void> {
  await tx.deleteFrom('task_timers').where('task_uid', '=', taskUid).execute();
}

/** Longest due first. */
export async function listDue({ read }: Database, nowMicros: number, limit: number): Promise<DueTimer[]> {
  const rows = await read
    .selectFrom('task_timers')
    .selectAll()
    .where('next_at', '<=', nowMicros)
    .orderBy('next_at')
    .orderBy('task_uid')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    taskUid: row.task_uid,
    name: row.name,
    registryUid: row.registry_uid,
    schedule: row.schedule,
    nextAtMicros: row.next_at,
  }));
}

/** Moves a timer on; false when it was changed, or moved by another process. */
export async function moveOn(tx: Transaction, due: DueTimer, nextAtMicros: number | undefined): Promise<boolean> {
  const row = { task_uid: due.taskUid, name: due.name };
  if (nextAtMicros === undefined) {
    const removed = await tx
      .deleteFrom('task_timers')
      .where('task_uid', '=', row.task_uid)
      .where('name', '=', row.name)
      .where('next_at', '=', due.nextAtMicros)
      .returning('name')
      .executeTakeFirst();
    return removed !== undefined;
  }
  const moved = await tx
    .updateTable('task_timers')
    .set({ next_at: nextAtMicros })
    .where('task_uid', '=', row.task_uid)
    .where('name', '=', row.name)
    .where('next_at', '=', due.nextAtMicros)
    .returning('name')
    .executeTakeFirst();
  return moved !== undefined;
}
