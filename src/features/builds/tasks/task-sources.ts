import { z } from 'zod';
import type { Queries, Transaction } from '../../../platform/database/database.ts';
import type { Ids } from '../../../platform/ids.ts';
import type { Sealer } from '../../../platform/keys/sealer.ts';
import type { SourceTrigger } from '../../../wire/arm/task-schema.ts';
import type { Resource } from '../../resources/resource.ts';
import { isEnabled, isSameOrigin, type StoredTask } from './task.ts';

export type SourceParts = { readonly sealer: Sealer; readonly ids: Ids };

/** What belongs to the address that a provider calls; all of it secret. */
const sourceSecretsSchema = z.object({
  /** What messages are signed with. */
  secret: z.string(),
  repositoryUrl: z.string(),
  token: z.string().exactOptional(),
});
export type SourceSecrets = z.infer<typeof sourceSecretsSchema>;

/** A git repository that starts a task. */
export type TaskSource = {
  readonly taskUid: string;
  readonly name: string;
  readonly registryUid: string;
  readonly hookId: string;
  readonly secrets: SourceSecrets;
  readonly isLeaving: boolean;
  /** What the provider calls the webhook that this server made there, as JSON. */
  readonly providerHook: string | undefined;
  /** Commits by branch, as they were seen last; undefined before the first look. */
  readonly heads: Readonly<Record<string, string>> | undefined;
  readonly problem: string | undefined;
};

const headsSchema = z.record(z.string(), z.string());
const secretBytes = 32;
const hookIdBytes = 16;

/** Brings the rows of a task's repositories in line; false when there is nothing for a provider to be told. */
export async function writeSources(
  { sealer, ids }: SourceParts,
  tx: Transaction,
  { uid, changedAtMicros }: Resource,
  task: StoredTask,
  registryUid: string,
): Promise<boolean> {
  const wanted = isEnabled(task) ? (task.trigger?.sourceTriggers ?? []).filter(isEnabled) : [];
  const known = await listSources({ sealer }, tx, uid);
  let isChanged = false;
  for (const source of known.filter((each) => !each.isLeaving && !wanted.some((one) => isSource(one, each)))) {
    await leave(tx, source);
    isChanged = true;
  }
  for (const trigger of wanted) {
    const { repositoryUrl, sourceControlAuthProperties } = trigger.sourceRepository;
    const token = sourceControlAuthProperties?.token ?? undefined;
    const before = known.find((each) => !each.isLeaving && isSource(trigger, each));
    if (before !== undefined && before.secrets.token === token) continue;
    isChanged = true;
    const hookId = before?.hookId ?? Buffer.from(ids.bytes(hookIdBytes)).toString('hex');
    const secret = before?.secrets.secret ?? Buffer.from(ids.bytes(secretBytes)).toString('hex');
    const sealed = sealer.sealText(
      purposeOf(hookId),
      JSON.stringify({ secret, repositoryUrl, ...(token === undefined ? {} : { token }) }),
    );
    await tx
      .insertInto('task_sources')
      .values({
        task_uid: uid,
        name: trigger.name,
        registry_uid: registryUid,
        hook_id: hookId,
        sealed_secret: sealed,
        state: 'active',
        poll_at: changedAtMicros,
      })
      .onConflict((conflict) =>
        conflict
          .columns(['task_uid', 'name'])
          .doUpdateSet({ sealed_secret: sealed, poll_at: changedAtMicros, problem: null }),
      )
      .execute();
  }
  return isChanged;
}

/** Those of a task that goes; their providers are still to be told. */
export async function leaveSources(
  parts: Pick<SourceParts, 'sealer'>,
  tx: Transaction,
  taskUid: string,
): Promise<boolean> {
  const sources = await listSources(parts, tx, taskUid);
  for (const source of sources.filter(({ isLeaving }) => !isLeaving)) await leave(tx, source);
  return sources.length > 0;
}

/** Under a name that no trigger can have, so that a new one may have its own. */
async function leave(tx: Transaction, { taskUid, name, hookId }: TaskSource): Promise<void> {
  await tx
    .updateTable('task_sources')
    .set({ state: 'leaving', name: `${name}#${hookId}` })
    .where('task_uid', '=', taskUid)
    .where('name', '=', name)
    .execute();
}

function isSource({ name, sourceRepository }: SourceTrigger, source: TaskSource): boolean {
  return name === source.name && isSameRepository(sourceRepository.repositoryUrl, source.secrets.repositoryUrl);
}

function isSameRepository(a: string, b: string): boolean {
  return repositoryKey(a) === repositoryKey(b) && isSameOrigin(a, b);
}

/** Without the ending, the fragment and a slash that say nothing. */
export function repositoryKey(url: string): string {
  return (url.split('#')[0] ?? '')
    .replace(/\/+$/, '')
    .replace(/\.git$/, '')
    .toLowerCase();
}

export async function listSources(
  { sealer }: Pick<SourceParts, 'sealer'>,
  queries: Queries,
  taskUid: string,
): Promise<TaskSource[]> {
  const rows = await queries
    .selectFrom('task_sources')
    .selectAll()
    .where('task_uid', '=', taskUid)
    .orderBy('name')
    .execute();
  return rows.map((row) => sourceOf(sealer, row));
}

export async function findSourceOfHook(
  { sealer }: Pick<SourceParts, 'sealer'>,
  queries: Queries,
  hookId: string,
): Promise<TaskSource | undefined> {
  const row = await queries.selectFrom('task_sources').selectAll().where('hook_id', '=', hookId).executeTakeFirst();
  return row && sourceOf(sealer, row);
}

/** The hook ids of those whose repository is to be looked at: one that cannot be opened keeps no other waiting. */
export async function listDueHooks(queries: Queries, nowMicros: number, limit: number): Promise<string[]> {
  const rows = await queries
    .selectFrom('task_sources')
    .select('hook_id')
    .where('poll_at', '<=', nowMicros)
    .where('state', '=', 'active')
    .orderBy('poll_at')
    .limit(limit)
    .execute();
  return rows.map((row) => row.hook_id);
}

/** The commit that a branch has now. */
export async function noteHead(tx: Transaction, source: TaskSource, branch: string, commit: string): Promise<void> {
  const heads = JSON.stringify({ ...source.heads, [branch]: commit });
  await tx.updateTable('task_sources').set({ heads }).where('hook_id', '=', source.hookId).execute();
}

/** After a look at the repository: undefined heads where it has to be looked at again. */
export async function noteLook(
  tx: Transaction,
  hookId: string,
  look: {
    readonly heads?: Readonly<Record<string, string>>;
    readonly problem: string | null;
    readonly nextAtMicros: number;
  },
): Promise<void> {
  await tx
    .updateTable('task_sources')
    .set({
      problem: look.problem,
      poll_at: look.nextAtMicros,
      ...(look.heads === undefined ? {} : { heads: JSON.stringify(look.heads) }),
    })
    .where('hook_id', '=', hookId)
    .execute();
}

/** What the provider was told; null where it has no webhook, and why. */
export async function noteProviderHook(
  tx: Transaction,
  { hookId }: TaskSource,
  { hook, problem }: { readonly hook: string | null; readonly problem: string | null },
): Promise<void> {
  await tx.updateTable('task_sources').set({ provider_hook: hook, problem }).where('hook_id', '=', hookId).execute();
}

export async function removeSource(tx: Transaction, { hookId }: TaskSource): Promise<void> {
  await tx.deleteFrom('task_sources').where('hook_id', '=', hookId).execute();
}

type Row = {
  readonly task_uid: string;
  readonly name: string;
  readonly registry_uid: string;
  readonly hook_id: string;
  readonly sealed_secret: Uint8Array;
  readonly state: string;
  readonly provider_hook: string | null;
  readonly heads: string | null;
  readonly problem: string | null;
};

function sourceOf(sealer: Sealer, row: Row): TaskSource {
  return {
    taskUid: row.task_uid,
    name: row.name,
    registryUid: row.registry_uid,
    hookId: row.hook_id,
    secrets: sourceSecretsSchema.parse(JSON.parse(sealer.openText(purposeOf(row.hook_id), row.sealed_secret))),
    isLeaving: row.state === 'leaving',
    providerHook: row.provider_hook ?? undefined,
    heads: row.heads === null ? undefined : headsSchema.parse(JSON.parse(row.heads)),
    problem: row.problem ?? undefined,
  };
}

function purposeOf(hookId: string): string {
  return `task-source/${hookId}`;
}
