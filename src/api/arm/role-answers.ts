import { BerthError } from '../../core/errors.ts';
import { builtInRole, builtInRoles } from '../../features/access/role-built-ins.ts';
import { roleAssignmentType, roleDefinitionType } from '../../features/access/role-definition.ts';
import { definitionOf } from '../../features/access/role-definitions.ts';
import { isWithinScope } from '../../features/access/role-scope.ts';
import { groupsOf } from '../../features/identity/directory-links.ts';
import { objectIdOf, uidOfObjectId } from '../../features/identity/object-id.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource, ResourceName } from '../../features/resources/resource.ts';
import { extensionName, scopesOf, subscriptionPath } from '../../features/resources/resource-names.ts';
import { findResource, listOfTypeBelow, listResources } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { type ArmCall, preconditionsOf } from './arm-call.ts';
import type { ArmTarget } from './arm-target.ts';
import type { ArmType } from './arm-type.ts';
import { answerResource, type ResourceRequestParts } from './resource-requests.ts';
import { resourceView } from './resource-view.ts';
import { assignmentRequirement, constrained, definitionRequirements } from './role-constraints.ts';
import { type AssignmentFilter, parseAssignmentFilter, parseDefinitionFilter } from './role-filters.ts';
import { builtInRoleView } from './role-view.ts';

/** More than there can be of either. */
const maxListed = 20_000;

type On = { readonly type: ArmType; readonly name: ResourceName };
type In = { readonly type: ArmType; readonly scope: ResourceName };

export type RoleTarget = Exclude<ArmTarget, { readonly kind: 'action' }>;

/** The target again when it stands for role definitions or role assignments. */
export function roleTarget(target: ArmTarget): RoleTarget | undefined {
  if (target.kind === 'action') return undefined;
  return [roleAssignmentType, roleDefinitionType].includes(target.type.type) ? target : undefined;
}

/** Source: az wire document, 5.1; Microsoft.Authorization/roleAssignments and roleDefinitions. */
export async function answerRoles(parts: ResourceRequestParts, call: ArmCall, target: RoleTarget): Promise<Response> {
  const isDefinition = target.type.type === roleDefinitionType;
  if (target.kind === 'resource') {
    const { name } = target;
    const type = constrained(target.type, call.require);
    return isDefinition
      ? await answerDefinition(parts, call, { type, name: atSubscription(name) })
      : await answerAssignment(parts, call, { type, name });
  }
  if (call.c.req.method !== 'GET') throw new BerthError('unsupported');
  await refuseMissing(parts, target.scope);
  return isDefinition ? await listDefinitions(parts, call, target) : await listAssignments(parts, call, target);
}

/**
 * `GET /providers/Microsoft.Authorization/roleDefinitions[/{guid}]`: the built-in roles, which belong to no subscription. Roles are
 * assigned in the subscription and below, which is all there is: at `/` there are none, and owners of the installation stand above.
 */
export function answerRootRoles({ c }: ArmCall, [, , type = '', key]: readonly string[]): Response {
  if (type.toLowerCase() === 'roleassignments') return answerRootAssignments(c, key);
  if (c.req.method !== 'GET') throw new BerthError('unsupported');
  const filter = parseDefinitionFilter(c.req.query('$filter'));
  const views = builtInRoles.map((each) => builtInRoleView(each, undefined));
  if (key === undefined) return c.json({ value: views.filter((each) => filter.matches(each)) });
  const found = builtInRole(key.toLowerCase());
  if (found === undefined) throw roleMissing(key);
  return c.json(builtInRoleView(found, undefined));
}

function answerRootAssignments(c: ArmCall['c'], key: string | undefined): Response {
  if (c.req.method !== 'GET')
    throw refuse('rootAssignment', {
      message:
        "Roles are not assigned at the scope '/'. Assign them at the subscription, which holds everything, or below it.",
    });
  if (key === undefined) return c.json({ value: [] });
  throw refuse('resourceUnknown', { message: `The role assignment '${key.slice(0, 100)}' is not found.` });
}

async function answerDefinition(parts: ResourceRequestParts, call: ArmCall, on: On): Promise<Response> {
  const { c } = call;
  const { method } = c.req;
  const builtIn = builtInRole(on.name.name.toLowerCase());
  if (builtIn === undefined) return await answerCustom(parts, call, on);
  if (method === 'GET') return c.json(builtInRoleView(builtIn, on.name.subscriptionId));
  if (method === 'HEAD') return c.body(null, 204);
  throw refuse('roleBuiltIn', { message: `The role '${builtIn.name}' is built in and cannot be changed or deleted.` });
}

async function answerCustom(parts: ResourceRequestParts, call: ArmCall, on: On): Promise<Response> {
  const { method } = call.c.req;
  if (method === 'DELETE') {
    const check = (existing: Resource) => definitionRequirements('delete', existing).forEach(call.require);
    return await remove(parts, call, on, check);
  }
  const answer = await answerResource(parts, call, on);
  // Clients take nothing but 201 for a role that they change, too.
  return method === 'PUT' ? new Response(answer.body, { status: 201, headers: answer.headers }) : answer;
}

async function answerAssignment(parts: ResourceRequestParts, call: ArmCall, on: On): Promise<Response> {
  if (call.c.req.method !== 'DELETE') return await answerResource(parts, call, on);
  return await remove(parts, call, on, (existing) => call.require(assignmentRequirement('delete', existing)));
}

/** A deletion answers what was there: clients read it. */
async function remove(
  parts: ResourceRequestParts,
  call: ArmCall,
  { name, type }: On,
  check: (existing: Resource) => void,
): Promise<Response> {
  const existing = await findResource(parts.database.read, parts.tenantUid, name.id);
  if (existing === undefined) return call.c.body(null, 204);
  check(existing);
  await parts.removals.begin({ ...preconditionsOf(call.c), id: existing.id, author: call.author });
  return call.c.json(resourceView(type, existing, call.apiVersion));
}

async function listDefinitions(parts: ResourceRequestParts, call: ArmCall, { type, scope }: In): Promise<Response> {
  const { c, apiVersion } = call;
  const filter = parseDefinitionFilter(c.req.query('$filter'));
  const { subscriptionId } = scope;
  const query = { tenantUid: parts.tenantUid, subscriptionId, type: roleDefinitionType, limit: maxListed };
  const custom = await listResources(parts.database.read, query);
  const applicable = custom.filter((each) => isAssignableAt(each, scope, filter.isBelowToo));
  const views = [
    ...builtInRoles.map((each) => builtInRoleView(each, subscriptionId)),
    ...applicable.map((each) => resourceView(type, each, apiVersion)),
  ];
  return c.json({ value: views.filter((each) => filter.matches(each)) });
}

function isAssignableAt(role: Resource, scope: ResourceName, isBelowToo: boolean): boolean {
  const key = scope.id.toLowerCase();
  return definitionOf(role)
    .assignableScopes.map((each) => each.toLowerCase())
    .some((each) => isWithinScope(key, each) || (isBelowToo && isWithinScope(each, key)));
}

async function listAssignments(parts: ResourceRequestParts, call: ArmCall, { type, scope }: In): Promise<Response> {
  const { c, apiVersion, rights } = call;
  const filter = parseAssignmentFilter(c.req.query('$filter'));
  const holders = await holdersOf(parts, filter);
  const found = filter.isAtScope ? await atAndAbove(parts, scope) : await around(parts, scope);
  const shown = found.filter(
    ({ properties, parentId }) =>
      (holders === undefined || holders.has(String(properties.principalId))) &&
      rights.allows(`${roleAssignmentType}/read`, parentId),
  );
  const value: JsonObject[] = shown.map((each) => resourceView(type, each, apiVersion));
  return c.json({ value });
}

async function atAndAbove({ database, tenantUid }: ResourceRequestParts, scope: ResourceName): Promise<Resource[]> {
  const scopes = scope.type === 'Microsoft.Resources/subscriptions' ? [scope.id] : scopesOf(scope);
  return await listOfTypeBelow(database.read, tenantUid, scopes, roleAssignmentType);
}

/** At the scope, above it and inside it. */
async function around({ database, tenantUid }: ResourceRequestParts, scope: ResourceName): Promise<Resource[]> {
  const { subscriptionId, id } = scope;
  const query = { tenantUid, subscriptionId, type: roleAssignmentType, limit: maxListed };
  const all = await listResources(database.read, query);
  const key = id.toLowerCase();
  return all.filter(({ parentId }) => {
    const at = parentId.toLowerCase();
    return isWithinScope(key, at) || isWithinScope(at, key);
  });
}

/** Object ids of whom the filter names, with their groups where it asks for these. */
async function holdersOf(
  { database }: ResourceRequestParts,
  { principalId, assignedTo }: AssignmentFilter,
): Promise<ReadonlySet<string> | undefined> {
  if (assignedTo === undefined) return principalId === undefined ? undefined : new Set([principalId]);
  const uid = uidOfObjectId(assignedTo);
  const groups = uid === undefined ? [] : await groupsOf(database.read, uid);
  const all = new Set([assignedTo, ...groups.map(objectIdOf)]);
  return principalId === undefined ? all : new Set([principalId].filter((each) => all.has(each)));
}

/** Throws `resourceGroupUnknown`, `resourceUnknown`. */
async function refuseMissing({ database, tenantUid }: ResourceRequestParts, { id }: ResourceName): Promise<void> {
  const isSubscription = id.split('/').length === 3;
  if (isSubscription || (await findResource(database.read, tenantUid, id)) !== undefined) return;
  throw missing(id);
}

function atSubscription({ subscriptionId, name }: ResourceName): ResourceName {
  const scope = { id: subscriptionPath(subscriptionId), subscriptionId, groupName: undefined };
  return extensionName(scope, roleDefinitionType, name.toLowerCase());
}

function roleMissing(key: string) {
  return refuse('roleUnknown', { message: `The role definition '${key.slice(0, 100)}' does not exist.` });
}
