import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { armErrorSchema } from '../../wire/arm/error-schema.ts';
import { parseJsonObject } from '../../wire/arm/json.ts';
import type { Deployment, DeploymentError, DeploymentOperation } from './deployment.ts';

type Row = Selectable<Schema['deployments']>;

const partSchema = armErrorSchema.shape.error;
const authorSchema = z.object({ uid: z.string(), name: z.string(), kind: z.enum(['User', 'Application']) });
const operationsSchema = z.array(
  z.object({
    id: z.string(),
    type: z.string(),
    name: z.string(),
    state: z.enum(['Succeeded', 'Failed']),
    error: partSchema.optional(),
    atMicros: z.number(),
  }),
);
const active = ['Accepted', 'Running'] as const;

/** Takes the place of an earlier one of this name that has ended; answers false while one is under way. */
export async function replaceDeployment(
  tx: Transaction,
  deployment: Deployment,
  input: Uint8Array | null,
): Promise<boolean> {
  const name = deployment.name.toLowerCase();
  await tx
    .deleteFrom('deployments')
    .where('group_uid', '=', deployment.groupUid)
    .where('name_key', '=', name)
    .where('state', 'not in', active)
    .execute();
  const inserted = await tx
    .insertInto('deployments')
    .values({
      uid: deployment.uid,
      tenant_uid: deployment.tenantUid,
      group_uid: deployment.groupUid,
      name: deployment.name,
      name_key: name,
      mode: deployment.mode,
      state: deployment.state,
      template: JSON.stringify(deployment.template),
      parameters: JSON.stringify(deployment.parameters),
      outputs: JSON.stringify(deployment.outputs),
      operations: JSON.stringify(deployment.operations),
      error: deployment.error === undefined ? null : JSON.stringify(deployment.error),
      author: JSON.stringify(deployment.author),
      correlation_id: deployment.correlationId,
      created_at: deployment.createdAtMicros,
      changed_at: deployment.changedAtMicros,
      input,
    })
    .onConflict((conflict) => conflict.columns(['group_uid', 'name_key']).doNothing())
    .returning('uid')
    .executeTakeFirst();
  return inserted !== undefined;
}

export async function findDeployment(
  queries: Queries,
  groupUid: string,
  name: string,
): Promise<Deployment | undefined> {
  const row = await queries
    .selectFrom('deployments')
    .selectAll()
    .where('group_uid', '=', groupUid)
    .where('name_key', '=', name.toLowerCase())
    .executeTakeFirst();
  return row && deploymentOf(row);
}

/** Newest first. */
export async function listDeployments(queries: Queries, groupUid: string, limit: number): Promise<Deployment[]> {
  const rows = await queries
    .selectFrom('deployments')
    .selectAll()
    .where('group_uid', '=', groupUid)
    .orderBy('created_at', 'desc')
    .orderBy('uid')
    .limit(limit)
    .execute();
  return rows.map(deploymentOf);
}

/** One that a job works on, with its sealed input; undefined when it has ended or is gone. */
export async function findActive(
  queries: Queries,
  uid: string,
): Promise<{ readonly deployment: Deployment; readonly input: Uint8Array } | undefined> {
  const row = await queries
    .selectFrom('deployments')
    .selectAll()
    .where('uid', '=', uid)
    .where('state', 'in', active)
    .executeTakeFirst();
  return row === undefined || row.input === null ? undefined : { deployment: deploymentOf(row), input: row.input };
}

/** Whether the deployment goes on, and its author is still there: what the author may do is asked for each resource. */
export async function standingOf(
  queries: Queries,
  { uid, author }: Pick<Deployment, 'uid' | 'author'>,
): Promise<{ readonly isActive: boolean; readonly isAllowed: boolean }> {
  const row = await queries
    .selectFrom('deployments')
    .select('uid')
    .where('uid', '=', uid)
    .where('state', 'in', active)
    .executeTakeFirst();
  const principal = await queries
    .selectFrom('principals')
    .select('is_enabled')
    .where('uid', '=', author.uid)
    .executeTakeFirst();
  return { isActive: row !== undefined, isAllowed: principal?.is_enabled === 1 };
}

export type Progress = Pick<Deployment, 'uid' | 'state' | 'outputs' | 'operations' | 'error' | 'changedAtMicros'>;

/** Writes how far it is; answers false when it has been ended meanwhile. What was sealed is dropped at its end. */
export async function writeProgress(tx: Transaction, progress: Progress): Promise<boolean> {
  const isEnd = progress.state !== 'Running';
  const updated = await tx
    .updateTable('deployments')
    .set({
      state: progress.state,
      outputs: JSON.stringify(progress.outputs),
      operations: JSON.stringify(progress.operations),
      error: progress.error === undefined ? null : JSON.stringify(progress.error),
      changed_at: progress.changedAtMicros,
      ...(isEnd ? { input: null } : {}),
    })
    .where('uid', '=', progress.uid)
    .where('state', 'in', active)
    .returning('uid')
    .executeTakeFirst();
  return updated !== undefined;
}

/** Answers false when it has ended already. */
export async function cancelDeployment(tx: Transaction, uid: string, nowMicros: number): Promise<boolean> {
  const updated = await tx
    .updateTable('deployments')
    .set({ state: 'Canceled', changed_at: nowMicros, input: null })
    .where('uid', '=', uid)
    .where('state', 'in', active)
    .returning('uid')
    .executeTakeFirst();
  return updated !== undefined;
}

/** Answers false when it is under way. */
export async function deleteDeployment(tx: Transaction, uid: string): Promise<boolean> {
  const deleted = await tx
    .deleteFrom('deployments')
    .where('uid', '=', uid)
    .where('state', 'not in', active)
    .returning('uid')
    .executeTakeFirst();
  return deleted !== undefined;
}

/** Those whose resource group is gone. */
export async function forgetOrphans(tx: Transaction): Promise<void> {
  await tx
    .deleteFrom('deployments')
    .where('group_uid', 'not in', (select) => select.selectFrom('resources').select('resources.uid'))
    .execute();
}

function deploymentOf(row: Row): Deployment {
  return {
    uid: row.uid,
    tenantUid: row.tenant_uid,
    groupUid: row.group_uid,
    name: row.name,
    mode: row.mode,
    state: row.state,
    template: parseJsonObject(row.template),
    parameters: parseJsonObject(row.parameters),
    outputs: parseJsonObject(row.outputs),
    operations: operationsOf(row.operations),
    error: row.error === null ? undefined : errorOf(row.error),
    author: authorSchema.parse(JSON.parse(row.author)),
    correlationId: row.correlation_id,
    createdAtMicros: row.created_at,
    changedAtMicros: row.changed_at,
  };
}

function operationsOf(text: string): DeploymentOperation[] {
  return operationsSchema.parse(JSON.parse(text)).map(({ error, ...rest }) => ({ ...rest, error }));
}

function errorOf(text: string): DeploymentError {
  return partSchema.parse(JSON.parse(text));
}
