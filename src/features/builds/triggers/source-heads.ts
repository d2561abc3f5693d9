import { z } from 'zod';
import type { Database, Transaction } from '../../../platform/database/database.ts';
import { lockedForUpdate } from '../../../platform/database/locks.ts';
import type { TaskSource } from '../tasks/task-sources.ts';

/** Commits by branch, as they were seen last; undefined before the first look. */
export type Heads = TaskSource['heads'];

const headsSchema = z.record(z.string(), z.string());

/** Those of a repository as they are now; others who are told of the same wait until this transaction ends. */
export async function lockHeads(tx: Transaction, kind: Database['kind'], hookId: string): Promise<Heads> {
  const query = tx.selectFrom('task_sources').select('heads').where('hook_id', '=', hookId);
  const heads = (await lockedForUpdate(kind, query).executeTakeFirst())?.heads ?? undefined;
  return heads === undefined ? undefined : headsSchema.parse(JSON.parse(heads));
}

/** What a look found; of branches that a message told of since it began (`then`), what that said stays. */
export function headsAfterLook(found: NonNullable<Heads>, then: Heads, now: Heads): NonNullable<Heads> {
  const told = Object.entries(now ?? {}).filter(([branch, commit]) => commit !== then?.[branch]);
  return { ...found, ...Object.fromEntries(told) };
}
