import { BerthError } from '../../core/errors.ts';
import type { LinkKind } from '../../features/identity/directory-links.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import {
  checkMemberGroupsBody,
  getByIdsBody,
  groupBody,
  groupPatch,
  memberGroupsBody,
  referenceBody,
} from '../../wire/graph/graph-messages.ts';
import { propertiesOf } from './application-routes.ts';
import {
  bodyOf,
  found,
  type GraphCall,
  listAnswer,
  noContent,
  objectAnswer,
  uidIn,
  uidOf,
  valueAnswer,
} from './graph-call.ts';
import type { GraphRoute } from './graph-route.ts';
import { groupView, objectView } from './graph-views.ts';

/** Source: Microsoft Graph v1.0, resource types group and directoryObject; wire contract, 5.2. */
export const groupRoutes: readonly GraphRoute[] = [
  { method: 'GET', path: '/groups', right: 'read', handle: list },
  { method: 'POST', path: '/groups', right: 'write', handle: create },
  { method: 'GET', path: '/groups/:id', right: 'read', handle: show },
  { method: 'PATCH', path: '/groups/:id', right: 'write', handle: update },
  { method: 'DELETE', path: '/groups/:id', right: 'write', handle: remove },
  { method: 'POST', path: '/groups/:id/getMemberGroups', right: 'read', handle: memberGroups },
  ...linkRoutes('groups', 'member'),
  ...linkRoutes('groups', 'owner'),
  ...linkRoutes('applications', 'owner'),
  ...linkRoutes('servicePrincipals', 'owner'),
  { method: 'POST', path: '/directoryObjects/getByIds', right: 'read', handle: byIds },
  { method: 'GET', path: '/directoryObjects/:id', right: 'read', handle: showObject },
  { method: 'POST', path: '/directoryObjects/:id/checkMemberGroups', right: 'read', handle: checkMemberGroups },
];

type Source = 'groups' | 'applications' | 'servicePrincipals';

function linkRoutes(source: Source, kind: LinkKind): readonly GraphRoute[] {
  const path = `/${source}/:id/${kind}s`;
  return [
    { method: 'GET', path, right: 'read', handle: (call) => linkList(call, source, kind) },
    { method: 'POST', path: `${path}/$ref`, right: 'write', handle: (call) => linkAdd(call, source, kind) },
    {
      method: 'DELETE',
      path: `${path}/:target/$ref`,
      right: 'write',
      handle: (call) => linkRemove(call, source, kind),
    },
  ];
}

async function list(call: GraphCall): Promise<Response> {
  const { groups } = call.directory;
  return await listAnswer(call, { list: (page) => groups.list(page), view: groupView });
}

async function create(call: GraphCall): Promise<Response> {
  const { displayName, ...others } = await bodyOf(call, groupBody);
  const asked = { displayName, properties: propertiesOf(others, {}), actor: call.by.uid };
  const uid = await call.directory.groups.create(asked);
  return objectAnswer(call, groupView(found(await call.directory.groups.find(uid))), 201);
}

async function show(call: GraphCall): Promise<Response> {
  return objectAnswer(call, groupView(found(await call.directory.groups.find(uidIn(call)))));
}

async function update(call: GraphCall): Promise<Response> {
  const { displayName, ...others } = await bodyOf(call, groupPatch);
  const uid = uidIn(call);
  const { properties } = found(await call.directory.groups.find(uid));
  await call.directory.groups.update(uid, {
    displayName,
    properties: propertiesOf(others, properties),
    actor: call.by.uid,
  });
  return noContent(call);
}

async function remove(call: GraphCall): Promise<Response> {
  await call.directory.groups.remove(uidIn(call), call.by.uid);
  return noContent(call);
}

async function memberGroups(call: GraphCall): Promise<Response> {
  await bodyOf(call, memberGroupsBody);
  return valueAnswer(call, (await call.directory.groupsOf(uidIn(call))).map(objectIdOf));
}

async function checkMemberGroups(call: GraphCall): Promise<Response> {
  const { groupIds } = await bodyOf(call, checkMemberGroupsBody);
  const own = new Set((await call.directory.groupsOf(uidIn(call))).map(objectIdOf));
  return valueAnswer(
    call,
    groupIds.filter((id) => own.has(id.toLowerCase())),
  );
}

/** Ids that stand for nothing are left out. */
async function byIds(call: GraphCall): Promise<Response> {
  const { ids, types } = await bodyOf(call, getByIdsBody);
  const wanted = new Set(types ?? []);
  const isAny = wanted.size === 0 || wanted.has('directoryObject');
  const objects = await call.directory.objects(ids.map(uidOf));
  const kept = objects.filter(({ kind }) => isAny || wanted.has(kind));
  return valueAnswer(
    call,
    kept.map((each) => objectView(each, call.tenantId)),
  );
}

async function showObject(call: GraphCall): Promise<Response> {
  const [object] = await call.directory.objects([uidIn(call)]);
  return objectAnswer(call, objectView(found(object), call.tenantId));
}

async function linkList(call: GraphCall, source: Source, kind: LinkKind): Promise<Response> {
  const linked = await call.directory.linked(await sourceOf(call, source), kind);
  return valueAnswer(
    call,
    linked.map((each) => objectView(each, call.tenantId)),
  );
}

async function linkAdd(call: GraphCall, source: Source, kind: LinkKind): Promise<Response> {
  const { '@odata.id': reference } = await bodyOf(call, referenceBody);
  const target = /\/(?:directoryObjects|users|groups|servicePrincipals)\/([0-9a-fA-F-]{36})$/.exec(reference)?.[1];
  if (target === undefined) throw new BerthError('directoryObjectInvalid', '@odata.id: it names no directory object');
  const link = { sourceUid: await sourceOf(call, source), kind, targetUid: uidOf(target) };
  await call.directory.link(link, call.by.uid);
  return noContent(call);
}

async function linkRemove(call: GraphCall, source: Source, kind: LinkKind): Promise<Response> {
  const link = { sourceUid: await sourceOf(call, source), kind, targetUid: uidIn(call, 'target') };
  await call.directory.unlink(link, call.by.uid);
  return noContent(call);
}

async function sourceOf(call: GraphCall, source: Source): Promise<string> {
  return found(await call.directory[source].find(uidIn(call))).uid;
}
