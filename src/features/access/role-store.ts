import { z } from 'zod';
import type { Queries } from '../../platform/database/database.ts';
import type { Condition } from './condition.ts';
import { ConditionError, parseCondition } from './condition-parser.ts';
import { builtInRole } from './role-built-ins.ts';
import type { RoleDefinition } from './role-definition.ts';

/** A role that a principal has, directly or through a group. */
export type HeldRole = {
  /** ARM id of the assignment. */
  readonly assignmentId: string;
  /** Id of subscription, group or resource in lower case; `/` for the installation. */
  readonly scopeKey: string;
  readonly role: Pick<RoleDefinition, 'key' | 'name' | 'permissions'>;
  /** Which requests it is good for; undefined for all. */
  readonly condition: Condition | undefined;
};

/** All of a principal's roles in its tenant, as they were at one access epoch. */
export type HeldRoles = { readonly roles: readonly HeldRole[]; readonly epoch: number };

const texts = z.array(z.string());
const permissionSchema = z.object({
  actions: texts,
  notActions: texts,
  dataActions: texts,
  notDataActions: texts,
});
/** The column `definition` of a custom role. */
export const storedRoleSchema = z.object({
  name: z.string(),
  permissions: z.array(permissionSchema),
  assignableScopes: texts,
});

/** One query: the principal, its groups and the groups these are in, their assignments and custom roles, and the epoch. */
export async function loadHeldRoles(queries: Queries, tenantUid: string, principalUid: string): Promise<HeldRoles> {
  const rows = await queries
    .withRecursive('holders', (db) =>
      db
        .selectFrom('principals')
        .where('uid', '=', principalUid)
        .where('tenant_uid', '=', tenantUid)
        .select('uid')
        .union((union) =>
          union
            .selectFrom('directory_links as l')
            .innerJoin('holders as h', 'h.uid', 'l.target_uid')
            .where('l.kind', '=', 'member')
            .where('l.tenant_uid', '=', tenantUid)
            .select('l.source_uid as uid'),
        ),
    )
    .selectFrom('tenants as t')
    .leftJoin(
      (from) =>
        from
          .selectFrom('role_assignments as a')
          .innerJoin('holders as h', 'h.uid', 'a.principal_uid')
          .innerJoin('resources as r', 'r.uid', 'a.uid')
          .leftJoin('custom_roles as c', (join) =>
            join.onRef('c.tenant_uid', '=', 'a.tenant_uid').onRef('c.role_key', '=', 'a.role_key'),
          )
          .select(['a.tenant_uid', 'a.scope_key', 'a.role_key', 'a.condition', 'r.id', 'c.definition'])
          .as('held'),
      (join) => join.onRef('held.tenant_uid', '=', 't.uid'),
    )
    .where('t.uid', '=', tenantUid)
    .orderBy('held.id')
    .select(['t.access_epoch', 'held.id', 'held.scope_key', 'held.role_key', 'held.condition', 'held.definition'])
    .execute();
  const [first] = rows;
  if (first === undefined) throw new Error('the tenant of this installation is missing from the database');
  return { epoch: first.access_epoch, roles: rows.flatMap(heldRoleOf) };
}

type Row = {
  readonly id: string | null;
  readonly scope_key: string | null;
  readonly role_key: string | null;
  readonly condition: string | null;
  readonly definition: string | null;
};

/** Nothing for the row of somebody without roles, and for a role that is gone. */
function heldRoleOf({ id, scope_key, role_key, condition, definition }: Row): HeldRole[] {
  if (id === null || scope_key === null || role_key === null) return [];
  const custom = definition === null ? undefined : storedRoleSchema.parse(JSON.parse(definition));
  const role = custom === undefined ? builtInRole(role_key) : { key: role_key, ...custom };
  if (role === undefined) return [];
  const held = { assignmentId: id, scopeKey: scope_key, role };
  if (condition === null) return [{ ...held, condition: undefined }];
  const parsed = readStored(condition);
  return parsed === undefined ? [] : [{ ...held, condition: parsed }];
}

/** One that cannot be read, which was refused when it was written, gives nothing. */
function readStored(condition: string): Condition | undefined {
  try {
    return parseCondition(condition);
  } catch (error) {
    if (error instanceof ConditionError) return undefined;
    throw error;
  }
}
