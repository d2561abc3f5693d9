import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForShare, lockedForUpdate } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../wire/arm/json.ts';
import { type Author, idKey, type Resource, type ResourceHead } from './resource.ts';

type Row = Selectable<Schema['resources']>;

const authorSchema = z.object({ uid: z.string(), name: z.string(), kind: z.enum(['User', 'Application']) });
const tagsSchema = z.record(z.string(), z.string());

/** Answers false when a resource of that id exists. */
export async function insertResource(tx: Transaction, resource: Resource): Promise<boolean> {
  const inserted = await tx
    .insertInto('resources')
    .values({
      uid: resource.uid,
      tenant_uid: resource.tenantUid,
      subscription_id: resource.subscriptionId,
      id: resource.id,
      id_key: idKey(resource.id),
      parent_key: idKey(resource.parentId),
      parent_id: resource.parentId,
      group_name: resource.groupName ?? null,
      group_key: resource.groupName === undefined ? null : idKey(resource.groupName),
      type: resource.type,
      type_key: idKey(resource.type),
      name: resource.name,
      created_at: resource.createdAtMicros,
      created_by: JSON.stringify(resource.createdBy),
      ...changingColumns(resource),
    })
    .onConflict((conflict) => conflict.column('id_key').doNothing())
    .returning('uid')
    .executeTakeFirst();
  return inserted !== undefined;
}

/** Writes what may change; the caller has locked the row. */
export async function updateResource(tx: Transaction, resource: Resource): Promise<void> {
  await tx
    .updateTable('resources')
    .set(changingColumns(resource))
    .where('uid', '=', resource.uid)
    .executeTakeFirstOrThrow();
}

export async function deleteResource(tx: Transaction, uid: string): Promise<void> {
  await tx.deleteFrom('resources').where('uid', '=', uid).execute();
}

/** By id, whatever its case. */
export async function findResource(queries: Queries, tenantUid: string, id: string): Promise<Resource | undefined> {
  const row = await byId(queries, tenantUid, id).executeTakeFirst();
  return row && resourceOf(row);
}

/** Nobody else changes it before the transaction ends. */
export async function findForUpdate(
  kind: Database['kind'],
  tx: Transaction,
  tenantUid: string,
  id: string,
): Promise<Resource | undefined> {
  const row = await lockedForUpdate(kind, byId(tx, tenantUid, id)).executeTakeFirst();
  return row && resourceOf(row);
}

/** It stays as it is until the transaction ends; others may rely on it too. */
export async function findForShare(
  kind: Database['kind'],
  tx: Transaction,
  tenantUid: string,
  id: string,
): Promise<Resource | undefined> {
  const row = await lockedForShare(kind, byId(tx, tenantUid, id)).executeTakeFirst();
  return row && resourceOf(row);
}

export async function findByUid(queries: Queries, uid: string): Promise<Resource | undefined> {
  const row = await queries.selectFrom('resources').selectAll().where('uid', '=', uid).executeTakeFirst();
  return row && resourceOf(row);
}

/** One resource of a type by its uid, for a change. */
export async function findMember(
  tx: Transaction,
  of: { readonly tenantUid: string; readonly uid: string; readonly type: string },
): Promise<Resource | undefined> {
  const row = await tx
    .updateTable('resources')
    // Writing the row locks it on both databases.
    .set((at) => ({ uid: at.ref('uid') }))
    .where('uid', '=', of.uid)
    .where('tenant_uid', '=', of.tenantUid)
    .where('type_key', '=', idKey(of.type))
    .returningAll()
    .executeTakeFirst();
  return row && resourceOf(row);
}

/** What hangs right below an id: the members of a group, the children of a resource, the locks of either. */
export async function listBelow(queries: Queries, tenantUid: string, id: string, limit: number): Promise<Resource[]> {
  const rows = await queries
    .selectFrom('resources')
    .selectAll()
    .where('tenant_uid', '=', tenantUid)
    .where('parent_key', '=', idKey(id))
    .orderBy('id_key')
    .limit(limit)
    .execute();
  return rows.map(resourceOf);
}

/** Everything of one type right below any of these ids. */
export async function listOfTypeBelow(
  queries: Queries,
  tenantUid: string,
  ids: readonly string[],
  type: string,
): Promise<Resource[]> {
  const rows = await queries
    .selectFrom('resources')
    .selectAll()
    .where('tenant_uid', '=', tenantUid)
    .where('parent_key', 'in', ids.map(idKey))
    .where('type_key', '=', idKey(type))
    .orderBy('id_key')
    .execute();
  return rows.map(resourceOf);
}

export type ListQuery = {
  readonly tenantUid: string;
  readonly subscriptionId: string;
  /** Only what is in this group. */
  readonly groupName?: string;
  /** Only what hangs right below this id. */
  readonly parentId?: string;
  readonly type?: string;
  /** Types left out. */
  readonly withoutTypes?: readonly string[];
  /** Lower-cased id of the last one before the page. */
  readonly after?: string;
  readonly limit: number;
};

/** By id. */
export async function listResources(queries: Queries, query: ListQuery): Promise<Resource[]> {
  const rows = await selected(queries, query).selectAll().execute();
  return rows.map(resourceOf);
}

/** By id; much cheaper than whole resources. */
export async function listHeads(queries: Queries, query: ListQuery): Promise<ResourceHead[]> {
  const rows = await selected(queries, query)
    .select(['id', 'parent_id', 'subscription_id', 'group_name', 'type', 'name', 'location', 'tags', 'envelope'])
    .execute();
  return rows.map(headOf);
}

function selected(queries: Queries, query: ListQuery) {
  let select = queries
    .selectFrom('resources')
    .where('tenant_uid', '=', query.tenantUid)
    .where('subscription_id', '=', query.subscriptionId);
  if (query.groupName !== undefined) select = select.where('group_key', '=', idKey(query.groupName));
  if (query.parentId !== undefined) select = select.where('parent_key', '=', idKey(query.parentId));
  if (query.type !== undefined) select = select.where('type_key', '=', idKey(query.type));
  if (query.withoutTypes !== undefined) select = select.where('type_key', 'not in', query.withoutTypes.map(idKey));
  if (query.after !== undefined) select = select.where('id_key', '>', query.after);
  return select.orderBy('id_key').limit(query.limit);
}

function byId(queries: Queries, tenantUid: string, id: string) {
  return queries
    .selectFrom('resources')
    .selectAll()
    .where('tenant_uid', '=', tenantUid)
    .where('id_key', '=', idKey(id));
}

function changingColumns(resource: Resource) {
  const { sku, identity } = resource;
  return {
    location: resource.location ?? null,
    tags: JSON.stringify(resource.tags),
    envelope: JSON.stringify({ sku, identity }),
    properties: JSON.stringify(resource.properties),
    state: resource.state,
    etag: resource.etag,
    changed_at: resource.changedAtMicros,
    changed_by: JSON.stringify(resource.changedBy),
  };
}

type HeadRow = Pick<
  Row,
  'id' | 'parent_id' | 'subscription_id' | 'group_name' | 'type' | 'name' | 'location' | 'tags' | 'envelope'
>;

function headOf(row: HeadRow): ResourceHead {
  const { sku, identity } = parseJsonObject(row.envelope);
  return {
    id: row.id,
    parentId: row.parent_id,
    subscriptionId: row.subscription_id,
    groupName: row.group_name ?? undefined,
    type: row.type,
    name: row.name,
    location: row.location ?? undefined,
    tags: tagsSchema.parse(JSON.parse(row.tags)),
    sku: objectOf(sku),
    identity: objectOf(identity),
  };
}

function resourceOf(row: Row): Resource {
  return {
    ...headOf(row),
    uid: row.uid,
    tenantUid: row.tenant_uid,
    properties: parseJsonObject(row.properties),
    state: row.state,
    etag: row.etag,
    createdAtMicros: row.created_at,
    createdBy: authorOf(row.created_by),
    changedAtMicros: row.changed_at,
    changedBy: authorOf(row.changed_by),
  };
}

function objectOf(value: unknown): JsonObject | undefined {
  return isJsonObject(value) ? value : undefined;
}

function authorOf(text: string): Author {
  return authorSchema.parse(JSON.parse(text));
}
