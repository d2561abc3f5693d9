import { BerthError } from '../../core/errors.ts';
import type { Locations } from '../../features/resources/locations.ts';
import { refuseLocked } from '../../features/resources/locks.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Removals } from '../../features/resources/removal.ts';
import type { Desired, Resource, ResourceName } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing, type Resources, type Written } from '../../features/resources/resources.ts';
import type { Database } from '../../platform/database/database.ts';
import { type JsonObject, mergeJson } from '../../wire/arm/json.ts';
import { type ResourceRequest, resourceRequestSchema } from '../../wire/arm/resource-schema.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import { type ArmCall, bodyOf, preconditionsOf, withoutNulls } from './arm-call.ts';
import type { ArmType } from './arm-type.ts';
import { findBuiltIn, refuseBuiltIn } from './built-ins.ts';
import { acceptedAnswer, operationHeaders } from './operation-answers.ts';
import { fullViews } from './resource-view.ts';

export type ResourceRequestParts = {
  readonly database: Database;
  readonly tenantUid: string;
  readonly resources: Resources;
  readonly removals: Removals;
  readonly locations: Locations;
  readonly transfer: TransferLimits;
};

type On = { readonly type: ArmType; readonly name: ResourceName };

/** Source: Azure resource provider contract, "Resource API". */
export async function answerResource(parts: ResourceRequestParts, call: ArmCall, on: On): Promise<Response> {
  switch (call.c.req.method) {
    case 'GET':
      return await show(call, on.type, { resource: await known(parts, on) }, 200);
    case 'HEAD':
      return (await find(parts, on)) === undefined ? call.c.body(null, 404) : call.c.body(null, 204);
    case 'PUT':
      return await put(parts, call, on);
    case 'PATCH':
      return await patch(parts, call, on);
    case 'DELETE':
      return await remove(parts, call, on);
    default:
      throw new BerthError('unsupported');
  }
}

export async function answerAction(
  parts: ResourceRequestParts,
  call: ArmCall,
  { type, name, word }: On & { readonly word: string },
): Promise<Response> {
  const action = type.actions?.[word];
  if (action?.method !== call.c.req.method) throw new BerthError('unsupported');
  const resource = await known(parts, { type, name });
  if (action.isChange) await refuseLocked(parts.database.read, parts.tenantUid, resource, 'write');
  const body = action.method === 'POST' ? await bodyOf(call.c, parts.transfer) : {};
  const { author, apiVersion } = call;
  return call.c.json(await action.run({ resource, body, author, apiVersion }), 200, { 'Cache-Control': 'no-store' });
}

async function put(parts: ResourceRequestParts, call: ArmCall, { type, name }: On): Promise<Response> {
  await refuseBuiltIn(parts, type, name);
  const body = requestOf(withoutNulls(await bodyOf(call.c, parts.transfer)));
  const written = await parts.resources.write({
    ...preconditionsOf(call.c),
    type,
    name,
    author: call.author,
    desire: (existing) => whole(parts.locations, type, body, existing),
  });
  return await show(call, type, written, written.isNew ? (type.createdStatus ?? 201) : 200);
}

async function patch(parts: ResourceRequestParts, call: ArmCall, { type, name }: On): Promise<Response> {
  await refuseBuiltIn(parts, type, name);
  const given = await bodyOf(call.c, parts.transfer);
  const body = requestOf(type.patch?.read(given) ?? given);
  const written = await parts.resources.write({
    ...preconditionsOf(call.c),
    type,
    name,
    author: call.author,
    desire: (existing) => {
      if (existing === undefined) throw missing(name.id);
      return merged(body, existing);
    },
  });
  return await show(call, type, written, type.patch?.status ?? 200);
}

async function remove(parts: ResourceRequestParts, call: ArmCall, { type, name }: On): Promise<Response> {
  const { author } = call;
  await refuseBuiltIn(parts, type, name);
  const removal = await parts.removals.begin({ ...preconditionsOf(call.c), id: name.id, author });
  if (removal.kind === 'begun') return acceptedAnswer(call, name.subscriptionId, removal.operationUid);
  if (removal.kind === 'done') return call.c.body(null, 200);
  // A group that is not there is told so, other resources are simply gone. Source: Azure Resource Manager.
  if (type.level === 'subscription') throw missing(name.id);
  return call.c.body(null, 204);
}

/** A PUT says everything: what it leaves out has its default. */
export function whole(
  locations: Locations,
  type: ArmType,
  body: ResourceRequest,
  existing: Resource | undefined,
): Desired {
  return {
    location: type.hasLocation ? locationOf(locations, body, existing) : undefined,
    tags: body.tags ?? {},
    sku: body.sku ?? existing?.sku,
    identity: body.identity ?? undefined,
    properties: body.properties ?? {},
  };
}

function locationOf(locations: Locations, { location }: ResourceRequest, existing: Resource | undefined): string {
  if (location === undefined || location === null || location === '')
    throw refuse('resourceInvalid', {
      message: 'The location property is required for this definition.',
      target: 'location',
    });
  const name = locations.parse(location);
  if (existing?.location === undefined || existing.location === name) return name;
  throw refuse('locationFixed', {
    message: `The resource '${existing.name}' already exists in location '${existing.location}', and cannot be moved to '${name}'.`,
    target: 'location',
  });
}

/** A PATCH is a merge; tags are replaced as given. Its location is ignored: clients send whole resources back. */
function merged({ tags, sku, identity, properties }: ResourceRequest, existing: Resource): Desired {
  return {
    location: existing.location,
    tags: tags ?? existing.tags,
    sku: sku ? mergeJson(existing.sku ?? {}, sku) : existing.sku,
    identity: identity ? mergeJson(existing.identity ?? {}, identity) : existing.identity,
    properties: mergeJson(existing.properties, properties ?? {}),
  };
}

function requestOf(body: JsonObject): ResourceRequest {
  return parseProperties(resourceRequestSchema, body, '');
}

async function show(
  call: ArmCall,
  type: ArmType,
  { resource, operationUid }: Pick<Written, 'resource' | 'operationUid'>,
  status: 200 | 201,
): Promise<Response> {
  const { subscriptionId, etag } = resource;
  const [view] = await fullViews(type, [resource], call.apiVersion);
  return call.c.json(view, status, {
    ETag: `"${etag}"`,
    ...(operationUid === undefined ? {} : operationHeaders(call, subscriptionId, operationUid)),
  });
}

async function known(parts: ResourceRequestParts, on: On): Promise<Resource> {
  const { name } = on;
  const found = await find(parts, on);
  if (found !== undefined) return found;
  // The nearest thing above that is missing is what the caller has to know.
  const group = name.groupName === undefined ? undefined : name.id.split('/').slice(0, 5).join('/');
  if (group !== undefined && (await findResource(parts.database.read, parts.tenantUid, group)) === undefined)
    throw missing(group);
  throw missing(name.id);
}

async function find(parts: ResourceRequestParts, { type, name }: On): Promise<Resource | undefined> {
  const stored = await findResource(parts.database.read, parts.tenantUid, name.id);
  return stored ?? (await findBuiltIn(parts, type, name));
}
