import type { Database, Transaction } from '../../platform/database/database.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { refuse } from '../resources/refuse.ts';
import type { Resource } from '../resources/resource.ts';
import { findForShare } from '../resources/resource-store.ts';
import type { Change, Writing } from '../resources/resource-type.ts';
import { parentRegistry, refuseTooMany } from './registry-children.ts';
import { deleteScopeMap, tokensOfScopeMap, writeScopeMap } from './scope-map-store.ts';

/** Tokens that a refusal names. */
const namedTokens = 5;

/** Writes what decisions read of a scope map. Throws `quotaExceeded`. */
export async function applyScopeMap(
  kind: Database['kind'],
  { tx }: Writing,
  { resource, previous }: Change,
): Promise<void> {
  await raiseAccessEpoch(tx, resource.tenantUid);
  const registry = await parentRegistry(kind, tx, resource);
  if (previous === undefined) await refuseTooMany(tx, registry, resource);
  const { uid, name, properties } = resource;
  await writeScopeMap(tx, { uid, registryUid: registry.uid, name, actions: JSON.stringify(properties.actions) });
}

/** A map that tokens have stays, unless the whole registry goes. Throws `scopeMapNeeded`. */
export async function withdrawScopeMap(kind: Database['kind'], tx: Transaction, resource: Resource): Promise<void> {
  const registry = await findForShare(kind, tx, resource.tenantUid, resource.parentId);
  await raiseAccessEpoch(tx, resource.tenantUid);
  if (registry === undefined || registry.state === 'Deleting') return;
  const tokens = await tokensOfScopeMap(tx, registry.uid, resource.name, namedTokens + 1);
  if (tokens.length === 0) return;
  const names = tokens.slice(0, namedTokens).join(', ');
  throw refuse('scopeMapNeeded', {
    message: `The scope map '${resource.name}' cannot be deleted while tokens have it: ${names}${tokens.length > namedTokens ? ' and more' : ''}. Give them another with az acr token update --scope-map, or delete them.`,
    target: resource.id,
  });
}

export async function forgetScopeMap(tx: Transaction, { uid, tenantUid }: Resource): Promise<void> {
  await raiseAccessEpoch(tx, tenantUid);
  await deleteScopeMap(tx, uid);
}
