import type { z } from 'zod';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import { type ArmErrorBody, armErrorSchema } from '../../wire/arm/error-schema.ts';

/** A long-running operation as its caller polls it. */
export type Operation = {
  readonly uid: string;
  readonly resourceId: string;
  readonly state: 'InProgress' | 'Succeeded' | 'Failed';
  readonly error: ArmErrorBody['error'] | undefined;
  readonly createdAtMicros: number;
  readonly changedAtMicros: number;
};

export type NewOperation = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly resourceUid: string;
  readonly resourceId: string;
  readonly nowMicros: number;
};

export async function insertOperation(tx: Transaction, operation: NewOperation): Promise<void> {
  await tx
    .insertInto('operations')
    .values({
      uid: operation.uid,
      tenant_uid: operation.tenantUid,
      resource_uid: operation.resourceUid,
      resource_id: operation.resourceId,
      state: 'InProgress',
      error: null,
      created_at: operation.nowMicros,
      changed_at: operation.nowMicros,
    })
    .execute();
}

/** Undefined for one that is unknown, of another tenant, or forgotten. */
export async function findOperation(queries: Queries, tenantUid: string, uid: string): Promise<Operation | undefined> {
  const row = await queries
    .selectFrom('operations')
    .selectAll()
    .where('uid', '=', uid)
    .where('tenant_uid', '=', tenantUid)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    uid: row.uid,
    resourceId: row.resource_id,
    state: row.state,
    error: row.error === null ? undefined : errorSchema.parse(JSON.parse(row.error)),
    createdAtMicros: row.created_at,
    changedAtMicros: row.changed_at,
  };
}

/** The last one under way on a resource. */
export async function activeOperation(queries: Queries, resourceUid: string): Promise<string | undefined> {
  const row = await queries
    .selectFrom('operations')
    .select('uid')
    .where('resource_uid', '=', resourceUid)
    .where('state', '=', 'InProgress')
    .orderBy('created_at', 'desc')
    .orderBy('uid')
    .executeTakeFirst();
  return row?.uid;
}

/** Ends every operation under way on a resource. */
export async function endOperations(
  tx: Transaction,
  resourceUid: string,
  end: { readonly error?: ArmErrorBody['error']; readonly nowMicros: number },
): Promise<void> {
  await tx
    .updateTable('operations')
    .set({
      state: end.error === undefined ? 'Succeeded' : 'Failed',
      error: end.error === undefined ? null : JSON.stringify(end.error),
      changed_at: end.nowMicros,
    })
    .where('resource_uid', '=', resourceUid)
    .where('state', '=', 'InProgress')
    .execute();
}

export async function forgetOperations(tx: Transaction, endedBeforeMicros: number): Promise<void> {
  await tx
    .deleteFrom('operations')
    .where('state', '<>', 'InProgress')
    .where('changed_at', '<', endedBeforeMicros)
    .execute();
}

const errorSchema: z.ZodType<ArmErrorBody['error']> = armErrorSchema.shape.error;
