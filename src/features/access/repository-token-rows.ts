import type { Database, Transaction } from '../../platform/database/database.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { insertPrincipal } from '../identity/principal-store.ts';
import { plainJson } from '../registries/registry-rules.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired, Resource } from '../resources/resource.ts';
import { childName } from '../resources/resource-names.ts';
import { findForShare } from '../resources/resource-store.ts';
import type { Change, Writing } from '../resources/resource-type.ts';
import { parentRegistry, refuseTooMany } from './registry-children.ts';
import { scopeMapNameOf, storedTokenOf } from './repository-token.ts';
import { secretNameOf } from './repository-token-passwords.ts';
import { scopeMapType, systemActions } from './scope-map.ts';

/** Settles which scope map the token has, as it is spelled; it stays until the token is written. Throws `resourceInvalid`. */
export async function settleToken(kind: Database['kind'], tx: Transaction, { resource }: Change): Promise<Desired> {
  const registry = await parentRegistry(kind, tx, resource);
  const token = storedTokenOf(resource);
  const asked = childName(registry, scopeMapType, scopeMapNameOf(token.scopeMapId, registry.id));
  const name = await scopeMapIn(kind, tx, registry, asked.name);
  if (name === undefined)
    throw refuse('resourceInvalid', {
      message: `The scope map '${asked.name}' does not exist in the registry '${registry.name}'. Create it first with az acr scope-map create.`,
      target: 'properties.scopeMapId',
    });
  const scopeMapId = childName(registry, scopeMapType, name).id;
  return { ...resource, properties: plainJson({ ...token, scopeMapId }) };
}

/** Writes who the token is and what it may do; the principal has the resource's uid. Throws `quotaExceeded`. */
export async function applyToken(
  kind: Database['kind'],
  { tx }: Writing,
  { resource, previous }: Change,
): Promise<void> {
  await raiseAccessEpoch(tx, resource.tenantUid);
  const registry = await parentRegistry(kind, tx, resource);
  const token = storedTokenOf(resource);
  const scopeMapKey = scopeMapNameOf(token.scopeMapId, registry.id).toLowerCase();
  const isEnabled = token.status === 'enabled';
  if (previous === undefined) {
    await refuseTooMany(tx, registry, resource);
    await insertPrincipal(
      tx,
      {
        uid: resource.uid,
        tenantUid: resource.tenantUid,
        kind: 'repositoryToken',
        loginName: resource.name,
        displayName: resource.name,
        registryUid: registry.uid,
        isOwner: false,
        isEnabled,
      },
      resource.createdAtMicros,
    );
    await tx
      .insertInto('repository_tokens')
      .values({ principal_uid: resource.uid, registry_uid: registry.uid, scope_map_key: scopeMapKey })
      .execute();
    return;
  }
  await tx
    .updateTable('principals')
    .set({ is_enabled: isEnabled ? 1 : 0 })
    .where('uid', '=', resource.uid)
    .execute();
  await tx
    .updateTable('repository_tokens')
    .set({ scope_map_key: scopeMapKey })
    .where('principal_uid', '=', resource.uid)
    .execute();
  const kept = token.credentials.passwords.map(({ name }) => secretNameOf(name));
  await tx
    .deleteFrom('secrets')
    .where('principal_uid', '=', resource.uid)
    .where('name', 'not in', [...kept, ''])
    .execute();
}

/** Nobody signs in with it from here on. */
export async function forgetToken(tx: Transaction, { uid, tenantUid }: Resource): Promise<void> {
  await raiseAccessEpoch(tx, tenantUid);
  await tx.deleteFrom('secrets').where('principal_uid', '=', uid).execute();
  await tx.deleteFrom('repository_tokens').where('principal_uid', '=', uid).execute();
  await tx.deleteFrom('principals').where('uid', '=', uid).execute();
}

/** The map's name as it is spelled; undefined when the registry has no such map. */
async function scopeMapIn(
  kind: Database['kind'],
  tx: Transaction,
  registry: Resource,
  name: string,
): Promise<string | undefined> {
  const key = name.toLowerCase();
  if (systemActions(key) !== undefined) return key;
  const map = await findForShare(kind, tx, registry.tenantUid, childName(registry, scopeMapType, name).id);
  return map?.state === 'Succeeded' ? map.name : undefined;
}
