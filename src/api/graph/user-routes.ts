import { BerthError } from '../../core/errors.ts';
import { isGuid, objectIdOf } from '../../features/identity/object-id.ts';
import type { User } from '../../features/identity/users.ts';
import { memberGroupsBody, userBody, userPatch } from '../../wire/graph/graph-messages.ts';
import { propertiesOf } from './application-routes.ts';
import {
  bodyOf,
  found,
  type GraphCall,
  listAnswer,
  noContent,
  objectAnswer,
  uidOf,
  valueAnswer,
} from './graph-call.ts';
import type { GraphRoute } from './graph-route.ts';
import { objectView, userView } from './graph-views.ts';

/** Source: Microsoft Graph v1.0, resource type user; wire contract, 5.2. */
export const userRoutes: readonly GraphRoute[] = [
  { method: 'GET', path: '/me', right: 'self', handle: showMe },
  { method: 'GET', path: '/me/ownedObjects', right: 'self', handle: listOwned },
  { method: 'GET', path: '/users', right: 'read', handle: list },
  { method: 'POST', path: '/users', right: 'write', handle: create },
  { method: 'GET', path: '/users/:id', right: 'read', handle: show },
  { method: 'PATCH', path: '/users/:id', right: 'write', handle: update },
  { method: 'DELETE', path: '/users/:id', right: 'write', handle: remove },
  { method: 'POST', path: '/users/:id/getMemberGroups', right: 'read', handle: memberGroups },
];

async function showMe(call: GraphCall): Promise<Response> {
  const me = await call.directory.users.find(personOf(call));
  return objectAnswer(call, userView(found(me)));
}

async function listOwned(call: GraphCall): Promise<Response> {
  const owned = await call.directory.ownedBy(personOf(call));
  return valueAnswer(
    call,
    owned.map((each) => objectView(each, call.tenantId)),
  );
}

async function list(call: GraphCall): Promise<Response> {
  const { users } = call.directory;
  const key = { members: ['userPrincipalName'], find: (name: string) => users.findByName(name) };
  return await listAnswer(call, { list: (page) => users.list(page), view: userView, key });
}

async function create(call: GraphCall): Promise<Response> {
  const body = await bodyOf(call, userBody);
  const { passwordProfile, displayName, userPrincipalName, accountEnabled = true, ...others } = body;
  const uid = await call.directory.users.create({
    displayName,
    userPrincipalName,
    isEnabled: accountEnabled,
    password: passwordProfile.password,
    properties: propertiesOf(others, {}),
    actor: call.by.uid,
  });
  return objectAnswer(call, userView(found(await call.directory.users.find(uid))), 201);
}

async function show(call: GraphCall): Promise<Response> {
  return objectAnswer(call, userView(await userOf(call)));
}

async function update(call: GraphCall): Promise<Response> {
  const { passwordProfile, displayName, accountEnabled, ...others } = await bodyOf(call, userPatch);
  const { uid, userPrincipalName, properties } = await userOf(call);
  if (others.userPrincipalName !== undefined && others.userPrincipalName !== userPrincipalName)
    throw new BerthError('directoryObjectInvalid', 'userPrincipalName: it cannot change');
  await call.directory.users.update(uid, {
    displayName,
    isEnabled: accountEnabled,
    password: passwordProfile?.password,
    properties: propertiesOf(others, properties),
    actor: call.by.uid,
  });
  return noContent(call);
}

async function remove(call: GraphCall): Promise<Response> {
  const { uid } = await userOf(call);
  await call.directory.users.remove(uid, call.by.uid);
  return noContent(call);
}

async function memberGroups(call: GraphCall): Promise<Response> {
  await bodyOf(call, memberGroupsBody);
  const { uid } = await userOf(call);
  return valueAnswer(call, (await call.directory.groupsOf(uid)).map(objectIdOf));
}

/** By object id or user name. */
async function userOf(call: GraphCall): Promise<User> {
  const id = call.c.req.param('id') ?? '';
  const { users } = call.directory;
  return found(isGuid(id) ? await users.find(uidOf(id)) : await users.findByName(id));
}

/** Throws `directoryObjectInvalid` for a service principal, as the directory of Microsoft does. */
function personOf({ by }: GraphCall): string {
  if (by.kind !== 'user')
    throw new BerthError('directoryObjectInvalid', '/me request is only valid with delegated authentication flow');
  return by.uid;
}
