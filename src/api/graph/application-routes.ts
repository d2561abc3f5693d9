import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Application } from '../../features/identity/applications.ts';
import {
  addFederated,
  addPassword,
  type Credential,
  type KeyRequest,
  removeCredential,
} from '../../features/identity/credentials.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import { type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import {
  addPasswordBody,
  applicationBody,
  applicationPatch,
  federatedBody,
  federatedPatch,
  type keyCredentialSchema,
  removePasswordBody,
} from '../../wire/graph/graph-messages.ts';
import {
  bodyOf,
  found,
  type GraphCall,
  listAnswer,
  microsOf,
  noContent,
  objectAnswer,
  uidIn,
  uidOf,
  valueAnswer,
} from './graph-call.ts';
import type { GraphRoute } from './graph-route.ts';
import { applicationView, federatedView, passwordView } from './graph-views.ts';

type Makers = { readonly ids: Ids; readonly clock: Clock };

/** Members that we keep elsewhere, or that nobody sets. */
const ownMembers = [
  'id',
  'appId',
  'displayName',
  'createdDateTime',
  'deletedDateTime',
  'keyCredentials',
  'passwordCredentials',
];

/** Source: Microsoft Graph v1.0, resource type application; wire contract, 5.2. */
export function applicationRoutes(makers: Makers): readonly GraphRoute[] {
  return [
    { method: 'GET', path: '/applications', right: 'read', handle: list },
    { method: 'POST', path: '/applications', right: 'write', handle: create },
    { method: 'GET', path: '/applications/:id', right: 'read', handle: show },
    { method: 'PATCH', path: '/applications/:id', right: 'write', handle: update },
    { method: 'DELETE', path: '/applications/:id', right: 'write', handle: remove },
    {
      method: 'POST',
      path: '/applications/:id/addPassword',
      right: 'write',
      handle: (call) => passwordAdd(makers, call),
    },
    { method: 'POST', path: '/applications/:id/removePassword', right: 'write', handle: passwordRemove },
    { method: 'GET', path: `${federatedPath}`, right: 'read', handle: federatedList },
    { method: 'POST', path: `${federatedPath}`, right: 'write', handle: (call) => federatedCreate(makers, call) },
    { method: 'GET', path: `${federatedPath}/:key`, right: 'read', handle: federatedShow },
    { method: 'PATCH', path: `${federatedPath}/:key`, right: 'write', handle: (call) => federatedUpdate(makers, call) },
    { method: 'DELETE', path: `${federatedPath}/:key`, right: 'write', handle: federatedRemove },
  ];
}

const federatedPath = '/applications/:id/federatedIdentityCredentials';

async function list(call: GraphCall): Promise<Response> {
  const { applications } = call.directory;
  const key = { members: ['appId'], find: (appId: string) => applications.findByAppId(appId) };
  return await listAnswer(call, { list: (page) => applications.list(page), view: applicationView, key });
}

async function create(call: GraphCall): Promise<Response> {
  const body = await bodyOf(call, applicationBody);
  const { displayName } = body;
  const keys = body.keyCredentials?.map(keyRequest);
  const uid = await call.directory.applications.create({
    displayName,
    properties: propertiesOf(body, {}),
    keys,
    actor: call.by.uid,
  });
  return objectAnswer(call, applicationView(found(await call.directory.applications.find(uid))), 201);
}

async function show(call: GraphCall): Promise<Response> {
  return objectAnswer(call, applicationView(await applicationOf(call)));
}

async function update(call: GraphCall): Promise<Response> {
  const body = await bodyOf(call, applicationPatch);
  const { uid, properties } = await applicationOf(call);
  await call.directory.applications.update(uid, {
    displayName: body.displayName,
    properties: propertiesOf(body, properties),
    keys: body.keyCredentials?.map(keyRequest),
    actor: call.by.uid,
  });
  return noContent(call);
}

async function remove(call: GraphCall): Promise<Response> {
  await call.directory.applications.remove(uidIn(call), call.by.uid);
  return noContent(call);
}

async function passwordAdd(makers: Makers, call: GraphCall): Promise<Response> {
  const { passwordCredential } = await bodyOf(call, addPasswordBody);
  const asked = newPasswordOf(makers.clock, passwordCredential);
  const { applications } = call.directory;
  const uid = uidIn(call);
  const added = await applications.change(uid, call.by.uid, 'application.passwordAdded', (tx, { principalUid }) =>
    addPassword(makers, tx, { principalUid, isOfApplication: true }, asked),
  );
  return passwordAnswer(call, found(await applications.find(uid)).credentials, added);
}

async function passwordRemove(call: GraphCall): Promise<Response> {
  const { keyId } = await bodyOf(call, removePasswordBody);
  const { applications } = call.directory;
  await applications.change(uidIn(call), call.by.uid, 'application.passwordRemoved', (tx, { principalUid }) =>
    removeCredential(tx, { principalUid, isOfApplication: true }, uidOf(keyId), 'clientSecret'),
  );
  return noContent(call);
}

async function federatedList(call: GraphCall): Promise<Response> {
  return valueAnswer(call, federatedOf(await applicationOf(call)).map(federatedView));
}

async function federatedCreate(makers: Makers, call: GraphCall): Promise<Response> {
  const body = await bodyOf(call, federatedBody);
  const application = await applicationOf(call);
  if (federatedOf(application).some(({ displayName }) => displayName === body.name))
    throw new BerthError('directoryObjectExists', { name: body.name });
  const { applications } = call.directory;
  const key = await applications.change(
    application.uid,
    call.by.uid,
    'application.federatedCredentialAdded',
    (tx, { principalUid }) =>
      addFederated(makers, tx, principalUid, { ...body, description: body.description ?? undefined }),
  );
  const added = federatedOf(await applicationOf(call)).find(({ uid }) => uid === key);
  return objectAnswer(call, federatedView(found(added)), 201);
}

async function federatedShow(call: GraphCall): Promise<Response> {
  return objectAnswer(call, federatedView(await federatedNamed(call)));
}

/** A changed trust is a new credential: tokens that were bought with the old one end. */
async function federatedUpdate(makers: Makers, call: GraphCall): Promise<Response> {
  const body = await bodyOf(call, federatedPatch);
  const old = await federatedNamed(call);
  const { applications } = call.directory;
  const { issuer = old.issuer, subject = old.subject, audiences = old.audiences } = body;
  const description = body.description === undefined ? old.description : (body.description ?? undefined);
  const changed = { name: old.displayName ?? '', issuer, subject, audiences, description };
  await applications.change(
    uidIn(call),
    call.by.uid,
    'application.federatedCredentialUpdated',
    async (tx, { principalUid }) => {
      await removeCredential(tx, { principalUid, isOfApplication: true }, old.uid, 'federated');
      await addFederated(makers, tx, principalUid, changed);
    },
  );
  return noContent(call);
}

async function federatedRemove(call: GraphCall): Promise<Response> {
  const { uid } = await federatedNamed(call);
  const { applications } = call.directory;
  await applications.change(
    uidIn(call),
    call.by.uid,
    'application.federatedCredentialRemoved',
    (tx, { principalUid }) => removeCredential(tx, { principalUid, isOfApplication: true }, uid, 'federated'),
  );
  return noContent(call);
}

async function applicationOf(call: GraphCall): Promise<Application> {
  return found(await call.directory.applications.find(uidIn(call)));
}

function federatedOf({ credentials }: Application) {
  return credentials.flatMap((each) => (each.kind === 'federated' ? [each] : []));
}

/** By id or by name. */
async function federatedNamed(call: GraphCall) {
  const key = call.c.req.param('key') ?? '';
  const all = federatedOf(await applicationOf(call));
  return found(all.find(({ uid, displayName }) => displayName === key || objectIdOf(uid) === key.toLowerCase()));
}

/** What the request sets over what there was; null removes. Throws `directoryObjectInvalid`. */
export function propertiesOf(body: Readonly<Record<string, unknown>>, old: JsonObject): JsonObject {
  const passwords = body.passwordCredentials;
  if (Array.isArray(passwords) && passwords.length > 0)
    throw new BerthError('directoryObjectInvalid', 'passwordCredentials: passwords are made by addPassword');
  const set = jsonObjectSchema.parse(body);
  const entries = Object.entries({ ...old, ...set });
  return Object.fromEntries(
    entries.filter(([name, value]) => value !== null && !ownMembers.includes(name) && !name.startsWith('@odata')),
  );
}

export function keyRequest(key: z.infer<typeof keyCredentialSchema>): KeyRequest {
  return {
    keyId: key.keyId ?? undefined,
    key: key.key ?? undefined,
    displayName: key.displayName ?? undefined,
    startsAtMicros: microsOf(key.startDateTime),
    expiresAtMicros: microsOf(key.endDateTime),
  };
}

const twoYearsMicros = 2 * 365 * 24 * 60 * 60 * 1_000_000;
/** Clocks of clients go ahead of ours by a little. */
const soonMicros = 10 * 60 * 1_000_000;

/** Throws `directoryObjectInvalid` for a time that has passed. */
export function newPasswordOf(clock: Clock, asked: z.infer<typeof addPasswordBody>['passwordCredential']) {
  const now = clock.nowMicros();
  const startsAtMicros = microsOf(asked?.startDateTime);
  const expiresAtMicros = microsOf(asked?.endDateTime) ?? now + twoYearsMicros;
  if (expiresAtMicros <= now || (startsAtMicros ?? 0) >= expiresAtMicros)
    throw new BerthError(
      'directoryObjectInvalid',
      'passwordCredential.endDateTime: it has passed, or is before the start',
    );
  const isSoon = startsAtMicros === undefined || startsAtMicros <= now + soonMicros;
  return {
    displayName: asked?.displayName ?? undefined,
    startsAtMicros: isSoon ? undefined : startsAtMicros,
    expiresAtMicros,
  };
}

/** The only answer that has the text of the password. */
export function passwordAnswer(
  call: GraphCall,
  credentials: readonly Credential[],
  { credentialUid, secret }: { readonly credentialUid: string; readonly secret: string },
): Response {
  const credential = credentials.find(({ uid }) => uid === credentialUid);
  if (credential?.kind !== 'secret') throw new BerthError('directoryObjectUnknown');
  call.c.header('Cache-Control', 'no-store');
  return objectAnswer(call, { ...passwordView(credential), secretText: secret });
}
