import { BerthError } from '../../core/errors.ts';
import type { Forecast } from '../../features/deployments/deployments.ts';
import type { Hosted, HostedGroup, HostedWrite, ResourceHost } from '../../features/deployments/resource-host.ts';
import { comparable, deltaOf, isOpen, type ResourceChange } from '../../features/deployments/what-if.ts';
import { refuseLocked } from '../../features/resources/locks.ts';
import { findOperation, type Operation } from '../../features/resources/operation-store.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Author, Resource } from '../../features/resources/resource.ts';
import { groupResourceName } from '../../features/resources/resource-names.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import type { ResourceTypes } from '../../features/resources/resource-type.ts';
import { missing, type WriteRequest, type Written } from '../../features/resources/resources.ts';
import { listSubscriptions } from '../../features/resources/subscription-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import { type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { resourceRequestSchema } from '../../wire/arm/resource-schema.ts';
import { parseApiVersion } from './api-version.ts';
import { withoutNulls } from './arm-call.ts';
import { segmentsOf } from './arm-path.ts';
import { parseTarget } from './arm-target.ts';
import type { ArmType } from './arm-type.ts';
import { type ResourceRequestParts, whole } from './resource-requests.ts';
import { resourceView } from './resource-view.ts';
import type { RequireAs } from './role-authority.ts';
import { constrained } from './role-constraints.ts';
import { targetRequirement } from './role-requirement.ts';

export type HostParts = ResourceRequestParts & {
  readonly types: ResourceTypes<ArmType>;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Asked with the rights that the author has now, before each resource. */
  readonly requireAs: RequireAs;
};

/** Between two looks at a write that goes on as a job. */
const pollMs = 500;

/** The resource manager as the templates of one person use it: the same engine as for single requests. */
export function deploymentHost(parts: HostParts, author: Author): ResourceHost {
  return {
    put: async (write, refuseStopped) => {
      const { request, apiVersion } = await requestOf(parts, author, write);
      const resource = await broughtAbout(parts, await parts.resources.write(request), refuseStopped);
      return { view: viewOf(request.type, resource, apiVersion), isKnown: true };
    },
    read: async (id, apiVersion) => await read(parts, author, id, apiVersion),
    act: async (id, action, apiVersion, body) => await act(parts, author, { id, action, apiVersion, body }),
    group: async (subscriptionId, name) => await groupOf(parts, author, subscriptionId, name),
  };
}

/** Waits for the end of a write that goes on as a job. Throws `resourceFailed`, `resourceUnknown`. */
async function broughtAbout(
  { database, tenantUid, clock }: HostParts,
  { resource, operationUid }: Written,
  refuseStopped: () => Promise<void>,
): Promise<Resource> {
  if (operationUid === undefined) return resource;
  for (;;) {
    await refuseStopped();
    const operation = await findOperation(database.read, tenantUid, operationUid);
    if (operation?.state !== 'InProgress') {
      if (operation?.error !== undefined) throw notBroughtAbout(resource, operation.error);
      const current = await findResource(database.read, tenantUid, resource.id);
      if (current === undefined) throw missing(resource.id);
      return current;
    }
    await clock.sleep(pollMs);
  }
}

function notBroughtAbout({ id, name }: Resource, error: NonNullable<Operation['error']>): BerthError {
  const { code, message } = error;
  return refuse('resourceFailed', {
    message: `The write of '${name}' did not complete: its provisioning state is 'Failed'. ${message}`,
    target: id,
    details: [{ code, message }],
  });
}

/** Foretells: every write is tried in a transaction that is taken back. */
export function deploymentForecast(parts: HostParts, author: Author): Forecast {
  const changes: ResourceChange[] = [];
  const host: ResourceHost = {
    ...deploymentHost(parts, author),
    put: async (write) => {
      const { change, hosted } = await foretell(parts, author, write, changes);
      changes.push(change);
      return hosted;
    },
  };
  return { host, changes };
}

type Foretold = { readonly change: ResourceChange; readonly hosted: Hosted };

async function foretell(
  parts: HostParts,
  author: Author,
  write: HostedWrite,
  changes: readonly ResourceChange[],
): Promise<Foretold> {
  const { request, apiVersion } = await requestOf(parts, author, write, isOpen(write.body));
  const { id, name } = request.name;
  const existing = await findResource(parts.database.read, parts.tenantUid, id);
  if (existing === undefined) {
    if (!isOpen(write.body)) await tryNew(parts, request, write.body, changes);
    const view = { ...write.body, id, name, type: request.type.type, apiVersion };
    return { change: { resourceId: id, changeType: 'Create', after: view }, hosted: { view, isKnown: false } };
  }
  const before = viewOf(request.type, existing, apiVersion);
  const known = { view: before, isKnown: true };
  if (isOpen(write.body) || namesNew(write.body, changes))
    return { change: { resourceId: existing.id, changeType: 'Deploy', before }, hosted: known };
  const { resource } = await tryWrite(parts, request);
  const after = viewOf(request.type, resource, apiVersion);
  return {
    change: changeOf(existing.id, comparable(before), comparable(after)),
    hosted: { view: after, isKnown: true },
  };
}

function changeOf(resourceId: string, before: JsonObject, after: JsonObject): ResourceChange {
  const delta = deltaOf(before, after);
  if (delta.length === 0) return { resourceId, changeType: 'NoChange', before, after };
  return { resourceId, changeType: 'Modify', before, after, delta };
}

/** A child of something that is also new, or what names such a thing, is looked at alone. */
async function tryNew(
  parts: HostParts,
  request: WriteRequest,
  body: JsonObject,
  changes: readonly ResourceChange[],
): Promise<void> {
  const parent = request.name.parentId.toLowerCase();
  const isParentNew = newIds(changes).includes(parent);
  if (!isParentNew && !namesNew(body, changes)) {
    await tryWrite(parts, request);
    return;
  }
  request.type.checkName(request.name.name);
  request.type.validate({ name: request.name, desired: request.desire(undefined), existing: undefined });
}

/** Such as an identity that the same template makes. */
function namesNew(body: JsonObject, changes: readonly ResourceChange[]): boolean {
  const text = JSON.stringify(body).toLowerCase();
  return newIds(changes).some((id) => text.includes(`"${id}"`));
}

function newIds(changes: readonly ResourceChange[]): string[] {
  return changes.flatMap(({ changeType, resourceId }) => (changeType === 'Create' ? [resourceId.toLowerCase()] : []));
}

/** Carries the outcome of a trial out of the transaction that it ends. */
class TakenBack extends Error {
  readonly written: Written;

  constructor(written: Written) {
    super('a trial is taken back');
    this.written = written;
  }
}

async function tryWrite(parts: HostParts, request: WriteRequest): Promise<Written> {
  try {
    return await parts.journal.transaction(async (tx, append) => {
      throw new TakenBack(await parts.resources.writeIn(tx, append, request));
    });
  } catch (error) {
    if (error instanceof TakenBack) return error.written;
    throw error;
  }
}

async function requestOf(parts: HostParts, author: Author, { id, apiVersion, body }: HostedWrite, isOpenBody = false) {
  const target = await resourceAt(parts, id);
  const require = await parts.requireAs(author);
  require(targetRequirement('PUT', target));
  const { name } = target;
  const type = constrained(target.type, require);
  const version = parseApiVersion(apiVersion);
  const asked = isOpenBody ? {} : parseProperties(resourceRequestSchema, withoutNulls(body), '');
  const desire = (existing: Resource | undefined) => whole(parts.locations, type, asked, existing);
  return { request: { type, name, author, desire }, apiVersion: version };
}

async function read(parts: HostParts, author: Author, id: string, apiVersion: string): Promise<JsonObject | undefined> {
  const target = await resourceAt(parts, id);
  (await parts.requireAs(author))(targetRequirement('GET', target));
  const { type } = target;
  const resource = await findResource(parts.database.read, parts.tenantUid, id);
  return resource && viewOf(type, resource, parseApiVersion(apiVersion));
}

type Act = { readonly id: string; readonly action: string; readonly apiVersion: string; readonly body: JsonObject };

async function act(parts: HostParts, author: Author, { id, action, apiVersion, body }: Act): Promise<JsonObject> {
  const { type, name } = await resourceAt(parts, id);
  const found = type.actions?.[action.toLowerCase()];
  if (found === undefined)
    throw refuse('resourceTypeUnknown', {
      message: `The type '${type.type}' has no action '${action.slice(0, 100)}'.`,
    });
  const target = { kind: 'action', type, name, word: action } as const;
  (await parts.requireAs(author))(targetRequirement(found.method, target));
  const resource = await findResource(parts.database.read, parts.tenantUid, name.id);
  if (resource === undefined) throw missing(name.id);
  if (found.isChange) await refuseLocked(parts.database.read, parts.tenantUid, resource, 'write');
  return jsonObjectSchema.parse(await found.run({ resource, body, author, apiVersion: parseApiVersion(apiVersion) }));
}

/** Throws `resourceTypeUnknown`, and what `missing` tells for another subscription. */
export async function resourceAt(parts: HostParts, id: string) {
  const segments = segmentsOf(id);
  const [root = '', subscriptionId = ''] = segments;
  await refuseForeign(parts, subscriptionId);
  if (root.toLowerCase() !== 'subscriptions') throw missing(id);
  const target = parseTarget(segments, subscriptionId.toLowerCase(), parts.types.find);
  if (target.kind === 'resource') return target;
  throw new BerthError('resourceTypeUnknown');
}

/** A group to deploy to. */
async function groupOf(parts: HostParts, author: Author, subscriptionId: string, name: string): Promise<HostedGroup> {
  await refuseForeign(parts, subscriptionId);
  const { id } = groupResourceName(subscriptionId, name);
  const operation = 'Microsoft.Resources/deployments/write';
  (await parts.requireAs(author))({ kind: 'operation', operation, scope: id });
  const group = await findResource(parts.database.read, parts.tenantUid, id);
  if (group === undefined) throw missing(id);
  return { id: group.id, name: group.name, location: group.location ?? '', tags: group.tags };
}

async function refuseForeign({ database, tenantUid }: HostParts, subscriptionId: string): Promise<void> {
  const own = await listSubscriptions(database.read, tenantUid);
  if (own.some((each) => each.subscriptionId === subscriptionId.toLowerCase())) return;
  throw missing(`/subscriptions/${subscriptionId}`);
}

function viewOf(type: ArmType, resource: Resource, apiVersion: string): JsonObject {
  return { ...resourceView(type, resource, apiVersion), apiVersion };
}
