import { addPassword, removeCredential, replaceCertificates } from '../../features/identity/credentials.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import {
  addPasswordBody,
  removePasswordBody,
  servicePrincipalBody,
  servicePrincipalPatch,
} from '../../wire/graph/graph-messages.ts';
import { keyRequest, newPasswordOf, passwordAnswer, propertiesOf } from './application-routes.ts';
import { bodyOf, found, type GraphCall, listAnswer, noContent, objectAnswer, uidIn, uidOf } from './graph-call.ts';
import type { GraphRoute } from './graph-route.ts';
import { servicePrincipalView } from './graph-views.ts';

type Makers = { readonly ids: Ids; readonly clock: Clock };

/** Source: Microsoft Graph v1.0, resource type servicePrincipal; wire contract, 5.2. */
export function servicePrincipalRoutes(makers: Makers): readonly GraphRoute[] {
  return [
    { method: 'GET', path: '/servicePrincipals', right: 'read', handle: list },
    { method: 'POST', path: '/servicePrincipals', right: 'write', handle: create },
    { method: 'GET', path: '/servicePrincipals/:id', right: 'read', handle: show },
    { method: 'PATCH', path: '/servicePrincipals/:id', right: 'write', handle: (call) => update(makers, call) },
    { method: 'DELETE', path: '/servicePrincipals/:id', right: 'write', handle: remove },
    {
      method: 'POST',
      path: '/servicePrincipals/:id/addPassword',
      right: 'write',
      handle: (call) => passwordAdd(makers, call),
    },
    { method: 'POST', path: '/servicePrincipals/:id/removePassword', right: 'write', handle: passwordRemove },
  ];
}

async function list(call: GraphCall): Promise<Response> {
  const { servicePrincipals } = call.directory;
  return await listAnswer(call, {
    list: (page) => servicePrincipals.list(page),
    view: (each) => servicePrincipalView(each, call.tenantId),
    key: { members: ['appId', 'servicePrincipalNames'], find: (name) => servicePrincipals.findByName(name) },
  });
}

async function create(call: GraphCall): Promise<Response> {
  const { appId, accountEnabled } = await bodyOf(call, servicePrincipalBody);
  const { servicePrincipals } = call.directory;
  const uid = await servicePrincipals.create(appId, { isEnabled: accountEnabled, actor: call.by.uid });
  return objectAnswer(call, servicePrincipalView(found(await servicePrincipals.find(uid)), call.tenantId), 201);
}

async function show(call: GraphCall): Promise<Response> {
  const principal = found(await call.directory.servicePrincipals.find(uidIn(call)));
  return objectAnswer(call, servicePrincipalView(principal, call.tenantId));
}

async function update(makers: Makers, call: GraphCall): Promise<Response> {
  const { accountEnabled, keyCredentials, ...others } = await bodyOf(call, servicePrincipalPatch);
  const { servicePrincipals } = call.directory;
  const uid = uidIn(call);
  const { properties } = found(await servicePrincipals.find(uid));
  const change = { isEnabled: accountEnabled, properties: propertiesOf(others, properties), actor: call.by.uid };
  await servicePrincipals.update(uid, change);
  if (keyCredentials !== undefined)
    await servicePrincipals.change(uid, call.by.uid, 'servicePrincipal.keysChanged', (tx) =>
      replaceCertificates(makers, tx, { principalUid: uid, isOfApplication: false }, keyCredentials.map(keyRequest)),
    );
  return noContent(call);
}

async function remove(call: GraphCall): Promise<Response> {
  await call.directory.servicePrincipals.remove(uidIn(call), call.by.uid);
  return noContent(call);
}

/** The owner of the installation may get another secret beside its first. */
async function passwordAdd(makers: Makers, call: GraphCall): Promise<Response> {
  const { passwordCredential } = await bodyOf(call, addPasswordBody);
  const asked = newPasswordOf(makers.clock, passwordCredential);
  const { servicePrincipals } = call.directory;
  const uid = uidIn(call);
  const added = await servicePrincipals.change(
    uid,
    call.by.uid,
    'servicePrincipal.passwordAdded',
    (tx) => addPassword(makers, tx, { principalUid: uid, isOfApplication: false }, asked),
    { isForOwnerToo: true },
  );
  return passwordAnswer(call, found(await servicePrincipals.find(uid)).credentials, added);
}

async function passwordRemove(call: GraphCall): Promise<Response> {
  const { keyId } = await bodyOf(call, removePasswordBody);
  const uid = uidIn(call);
  await call.directory.servicePrincipals.change(uid, call.by.uid, 'servicePrincipal.passwordRemoved', (tx) =>
    removeCredential(tx, { principalUid: uid, isOfApplication: false }, uidOf(keyId), 'clientSecret'),
  );
  return noContent(call);
}
