import { refuse } from '../../features/resources/refuse.ts';
import type { Resource, ResourceName } from '../../features/resources/resource.ts';
import { findResource, type ListQuery, listResources } from '../../features/resources/resource-store.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { ArmType } from './arm-type.ts';

type BuiltInParts = { readonly database: Database; readonly tenantUid: string };

/** One of those that every resource of a kind has without anybody making them; undefined for any other. */
export async function findBuiltIn(
  { database, tenantUid }: BuiltInParts,
  type: ArmType,
  { id, parentId }: ResourceName,
): Promise<Resource | undefined> {
  const all = await builtInsOf(database.read, tenantUid, type, parentId);
  return all.find((each) => each.id.toLowerCase() === id.toLowerCase());
}

/** Throws `resourceNeeded`: nobody changes or deletes what the program itself has there. */
export async function refuseBuiltIn(parts: BuiltInParts, type: ArmType, name: ResourceName): Promise<void> {
  if ((await findBuiltIn(parts, type, name)) === undefined) return;
  throw refuse('resourceNeeded', {
    message: `'${name.name}' is built in and cannot be changed or deleted. Make one of your own.`,
    target: name.id,
  });
}

/** What is in a resource, made by people or built in, by id. */
export async function listWithBuiltIns(
  { database, tenantUid }: BuiltInParts,
  type: ArmType,
  query: ListQuery,
): Promise<Resource[]> {
  const stored = await listResources(database.read, query);
  const { parentId, after = '', limit } = query;
  if (type.builtIns === undefined || parentId === undefined) return stored;
  const builtIn = await builtInsOf(database.read, tenantUid, type, parentId);
  const fitting = builtIn.filter((each) => each.id.toLowerCase() > after);
  return [...stored, ...fitting].sort((one, other) => compare(one.id, other.id)).slice(0, limit);
}

async function builtInsOf(
  queries: Queries,
  tenantUid: string,
  { builtIns }: ArmType,
  parentId: string,
): Promise<readonly Resource[]> {
  const parent = builtIns && (await findResource(queries, tenantUid, parentId));
  return parent === undefined ? [] : (builtIns?.(parent) ?? []);
}

/** As the database orders keys: by bytes. Ids are ASCII. */
function compare(one: string, other: string): number {
  const [first, second] = [one.toLowerCase(), other.toLowerCase()];
  return first < second ? -1 : first > second ? 1 : 0;
}
