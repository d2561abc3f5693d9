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
  const told = Object.entries(now ?? {}).filter(([branch, commit]) => commit !== headOf(then, branch));
  return { ...found, ...Object.fromEntries(told) };
}

/** The commit of a branch; undefined for one that is not among them, whatever it is called. */
export function headOf(heads: Heads, branch: string): string | undefined {
  return heads !== undefined && Object.hasOwn(heads, branch) ? heads[branch] : undefined;
}

/** With so many branches only the one that a task waits for is written down after each look. */
const maxBranches = 1_000;

export function worthKeeping(found: NonNullable<Heads>, wanted: string | undefined): NonNullable<Heads> {
  if (Object.keys(found).length <= maxBranches) return found;
  const commit = wanted === undefined ? undefined : headOf(found, wanted);
  return wanted === undefined || commit === undefined ? {} : { [wanted]: commit };
}
