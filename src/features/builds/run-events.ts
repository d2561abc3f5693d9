import type { Append } from '../../platform/journal/journal.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import { type RunRow, runOf } from './run-store.ts';

export type RunEvent = 'run.queued' | 'run.started' | 'run.finished' | 'run.changed';

/** Tells of a run as it now stands. Version 1 of the events' data: what is shown of a run, and the uid of its task. */
export function appendRunEvent(
  append: Append,
  type: RunEvent,
  row: RunRow,
  by: { region: string; actor: string },
): void {
  const { registryUid, platforms: _platforms, ...run } = runOf(row);
  const data = { ...run, taskUid: row.task_uid };
  append({ stream: streamOf(registryUid, by.region), type, version: 1, actor: by.actor, data });
}
