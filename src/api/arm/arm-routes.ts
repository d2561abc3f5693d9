import { type Context, Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { roleAssignmentType, roleDefinitionType } from '../../features/access/role-definition.ts';
import type { OperationRights } from '../../features/access/role-operations.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource, ResourceName } from '../../features/resources/resource.ts';
import { parseResourceFilter, type ResourceFilter } from '../../features/resources/resource-filter.ts';
import { groupType } from '../../features/resources/resource-names.ts';
import { findResource, listHeads } from '../../features/resources/resource-store.ts';
import type { ResourceTypes } from '../../features/resources/resource-type.ts';
import { missing } from '../../features/resources/resources.ts';
import { listSubscriptions, type Subscription } from '../../features/resources/subscription-store.ts';
import type { Env } from '../middleware/env.ts';
import { parseApiVersion } from './api-version.ts';
import { type ArmCall, bodyOf } from './arm-call.ts';
import type { ArmCaller } from './arm-caller.ts';
import { isArmPath, segmentsOf } from './arm-path.ts';
import { type ArmTarget, parseTarget, subscriptionScope } from './arm-target.ts';
import type { ArmType } from './arm-type.ts';
import { listWithBuiltIns } from './built-ins.ts';
import { answerDeployments, type DeploymentRouteParts, deploymentSegments } from './deployments-routes.ts';
import { checkRegistryName, type NameCheckParts } from './name-check.ts';
import { answerOperationResult, answerOperationStatus } from './operation-answers.ts';
import { answerOperationList, operationListOf } from './operation-lists.ts';
import { pageOf } from './paging.ts';
import { answerAction, answerResource, type ResourceRequestParts } from './resource-requests.ts';
import { fullViews, genericView } from './resource-view.ts';
import { answerRoles, answerRootRoles, roleTarget } from './role-answers.ts';
import { constrained } from './role-constraints.ts';
import { requirementOf, resourceOperation } from './role-requirement.ts';
import { answerTags, taggedSegments } from './tag-answers.ts';
import { locationView, providerViews, subscriptionView, tenantView } from './tenant-answers.ts';

export type ArmParts = ResourceRequestParts &
  DeploymentRouteParts &
  NameCheckParts & {
    readonly types: ResourceTypes<ArmType>;
    /** GUID. */
    readonly tenantId: string;
    readonly domain: string;
    /** Throws `unauthorized`, `denied`. */
    readonly armCaller: (c: Context<Env>) => Promise<ArmCaller>;
  };

/** The resource manager: every ARM route, decided once before anything else is looked at. */
export function armRoutes(parts: ArmParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.all('*', async (c, next) => {
    if (!isArmPath(c.req.path)) return await next();
    const { rights, require } = await parts.armCaller(c);
    const segments = segmentsOf(new URL(c.req.url).pathname);
    const target = (subscriptionId: string) => parseTarget(segments, subscriptionId, parts.types.find);
    const requirement = requirementOf(c.req.method, segments, target);
    require(requirement);
    const apiVersion = parseApiVersion(c.req.query('api-version'));
    if (requirement.kind === 'list' && !rights.touches(requirement.scope)) return readOnly(c, () => ({ value: [] }));
    const { uid, name, kind } = rights.principal;
    const author = { uid, name, kind: kind === 'user' ? 'User' : 'Application' } as const;
    return await answer(parts, { c, author, rights, require, apiVersion, segments });
  });
  return routes;
}

function tenants({ tenantId, domain }: ArmParts) {
  return [tenantView(tenantId, domain)];
}

async function answer(parts: ArmParts, call: ArmCall): Promise<Response> {
  const { c, segments } = call;
  const [root = '', subscriptionId, ...rest] = segments;
  switch (root.toLowerCase()) {
    case 'tenants':
      if (subscriptionId !== undefined) throw new BerthError('resourceTypeUnknown');
      return readOnly(c, () => ({ value: tenants(parts) }));
    case 'providers': {
      if (isRootRoles(segments)) return answerRootRoles(call, segments);
      const operations = operationListOf(segments);
      if (operations !== undefined) return answerOperationList(call, parts.types.list, operations);
      return readOnly(c, () => providers(parts, undefined, subscriptionId));
    }
  }
  const subscriptions = await listSubscriptions(parts.database.read, parts.tenantUid);
  if (subscriptionId === undefined) {
    const own = subscriptions.filter((each) => call.rights.touches(subscriptionScope(each.subscriptionId).id));
    return readOnly(c, () => ({ value: own.map((each) => subscriptionView(each, parts.tenantId)) }));
  }
  const subscription = subscriptions.find((each) => each.subscriptionId === subscriptionId.toLowerCase());
  if (subscription === undefined) throw missing(`/subscriptions/${subscriptionId}`);
  return await answerInSubscription(parts, call, subscription, rest);
}

async function answerInSubscription(
  parts: ArmParts,
  call: ArmCall,
  subscription: Subscription,
  rest: readonly string[],
): Promise<Response> {
  const { c } = call;
  const { subscriptionId } = subscription;
  const [first = '', second, third] = rest;
  const words = rest.map((each) => each.toLowerCase());
  switch (words[0]) {
    case undefined:
      return readOnly(c, () => subscriptionView(subscription, parts.tenantId));
    case 'locations':
      if (second !== undefined) break;
      return readOnly(c, () => ({ value: parts.locations.list.map((each) => locationView(each, subscriptionId)) }));
    case 'resources':
      if (second !== undefined) break;
      return await listGeneric(parts, call, subscriptionScope(subscriptionId));
    case 'operationstatuses':
      return await answerOperationStatus(parts, call, second ?? '');
    case 'operationresults':
      return await answerOperationResult(parts, call, { subscriptionId, uid: second ?? '' });
    case 'providers':
      if (rest.length <= 2) return readOnly(c, () => providers(parts, subscriptionId, second));
      if (isRegistration(words) && c.req.method === 'POST') return c.json(providers(parts, subscriptionId, second));
      if (isNameCheck(words)) return await answerNameCheck(parts, call, subscriptionId);
      break;
    case 'resourcegroups':
      if (rest.length === 3 && words[2] === 'resources')
        return await listGeneric(parts, call, await groupScope(parts, call));
      if (rest.length === 3 && isMove(third ?? '')) throw new BerthError('moveUnsupported');
      break;
    default:
      throw refuse('resourceTypeUnknown', { message: `'${first}' is not known below a subscription.` });
  }
  const deployments = deploymentSegments(rest);
  if (deployments !== undefined) {
    const at = { group: await groupScope(parts, call), subscription, rest: deployments };
    return await answerDeployments(parts, call, at);
  }
  const tagged = taggedSegments(call.segments);
  if (tagged !== undefined) return await answerTags(parts, call, tagged);
  return await answerTarget(parts, call, parseTarget(call.segments, subscriptionId, parts.types.find));
}

function isRootRoles([, namespace = '', type = '']: readonly string[]): boolean {
  const asked = `${namespace}/${type}`.toLowerCase();
  return asked === roleDefinitionType.toLowerCase() || asked === roleAssignmentType.toLowerCase();
}

async function answerTarget(parts: ArmParts, call: ArmCall, target: ArmTarget): Promise<Response> {
  if (target.type.answers !== undefined) return await target.type.answers(call, target);
  const roles = roleTarget(target);
  if (roles !== undefined) return await answerRoles(parts, call, roles);
  switch (target.kind) {
    case 'resource':
      return await answerResource(parts, call, { ...target, type: constrained(target.type, call.require) });
    case 'action':
      return await answerAction(parts, call, target);
    case 'collection':
      return await listOfType(parts, call, target);
  }
}

/** Everything of a type in a subscription, group or resource. */
async function listOfType(
  parts: ArmParts,
  { c, apiVersion, rights }: ArmCall,
  { type, scope }: { readonly type: ArmType; readonly scope: ResourceName },
): Promise<Response> {
  if (c.req.method !== 'GET') throw new BerthError('unsupported');
  const isSubscription = scope.id === subscriptionScope(scope.subscriptionId).id;
  if (!isSubscription && (await findResource(parts.database.read, parts.tenantUid, scope.id)) === undefined) {
    throw missing(scope.id);
  }
  const text = c.req.query('$filter');
  const isAtScope = /^\s*atScope\(\)\s*$/i.test(text ?? '');
  const isGroup = scope.type === groupType;
  const below = isAtScope || !(isSubscription || isGroup) ? { parentId: scope.id } : {};
  const query = {
    ...placeOf(parts, scope),
    ...(isGroup && scope.groupName !== undefined ? { groupName: scope.groupName } : {}),
    ...below,
    type: type.type,
  };
  const filter = readable(rights, parseResourceFilter(isAtScope ? undefined : text));
  const views = (page: readonly Resource[]) => fullViews(type, page, apiVersion);
  return await pageOf(c, { list: (page) => listWithBuiltIns(parts, type, page), query, filter, views });
}

/** `az resource list`: every resource but groups and what is attached. Source: Azure Resource Manager, "Resources - List". */
async function listGeneric(parts: ArmParts, { c, rights }: ArmCall, scope: ResourceName): Promise<Response> {
  if (c.req.method !== 'GET') throw new BerthError('unsupported');
  const filter = readable(rights, parseResourceFilter(c.req.query('$filter')));
  const groupName = scope.groupName ?? filter.groupName;
  const query = {
    ...placeOf(parts, scope),
    ...(groupName === undefined ? {} : { groupName }),
    ...(filter.type === undefined ? { withoutTypes: withoutAttached(parts) } : { type: filter.type }),
  };
  return await pageOf(c, {
    list: (page) => listHeads(parts.database.read, page),
    query,
    filter,
    views: async (page) => page.map(genericView),
  });
}

/** The same without what the caller may not read. */
function readable(rights: OperationRights, filter: ResourceFilter): ResourceFilter {
  if (rights.principal.isOwner) return filter;
  const mayRead = ({ type, id }: Pick<Resource, 'type' | 'id'>) => rights.allows(resourceOperation(type, 'GET'), id);
  return { ...filter, matches: (resource) => filter.matches(resource) && mayRead(resource) };
}

/** Groups, what hangs on other resources, and what has no place of its own, such as tokens: Azure lists none of these. */
function withoutAttached({ types }: ArmParts): readonly string[] {
  const left = types.list.filter(({ level, hasLocation }) => level === 'extension' || !hasLocation);
  return [groupType, ...left.map(({ type }) => type)];
}

function placeOf({ tenantUid }: ArmParts, { subscriptionId }: ResourceName) {
  return { tenantUid, subscriptionId };
}

async function groupScope(parts: ArmParts, call: ArmCall): Promise<Resource> {
  const id = `/${call.segments.slice(0, 4).join('/')}`;
  const group = await findResource(parts.database.read, parts.tenantUid, id);
  if (group === undefined) throw missing(id);
  return group;
}

async function answerNameCheck(parts: ArmParts, { c }: ArmCall, subscriptionId: string): Promise<Response> {
  if (c.req.method !== 'POST') throw new BerthError('unsupported');
  return c.json(await checkRegistryName(parts, subscriptionId, await bodyOf(c, parts.transfer)));
}

function providers({ types, locations }: ArmParts, subscriptionId: string | undefined, namespace: string | undefined) {
  const all = providerViews(types.list, locations.list, subscriptionId);
  if (namespace === undefined) return { value: all };
  const found = all.find((each) => String(each.namespace).toLowerCase() === namespace.toLowerCase());
  if (found !== undefined) return found;
  throw refuse('resourceTypeUnknown', { message: `The resource namespace '${namespace.slice(0, 100)}' is invalid.` });
}

function isRegistration([, , word]: readonly string[]): boolean {
  return word === 'register' || word === 'unregister';
}

function isNameCheck([, namespace, word, more]: readonly string[]): boolean {
  return namespace === 'microsoft.containerregistry' && word === 'checknameavailability' && more === undefined;
}

function isMove(word: string): boolean {
  return ['moveresources', 'validatemoveresources'].includes(word.toLowerCase());
}

function readOnly(c: Context<Env>, read: () => object): Response {
  if (c.req.method !== 'GET') throw new BerthError('unsupported');
  return c.json(read());
}
