import { z } from 'zod';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import { type Append, tenantStreamOf } from '../../platform/journal/journal.ts';
import { raiseAccessEpoch } from './access-epoch.ts';
import { removeLinksOf } from './directory-links.ts';
import { objectIdOf } from './object-id.ts';
import { insertPrincipal } from './principal-store.ts';

/** Who a resource is, or whom it may act as: a principal that never has a secret of its own to hand out. */
export type ManagedIdentity = {
  readonly uid: string;
  /** GUID, in lower case: what tokens are asked for by. */
  readonly clientId: string;
  readonly name: string;
  /** Of the identity itself, or of the resource that it belongs to. */
  readonly resourceId: string;
  readonly kind: 'userAssigned' | 'systemAssigned';
};

type Change = {
  readonly tenantUid: string;
  /** Uid of who asked. */
  readonly actor: string;
  readonly nowMicros: number;
};

const propertiesSchema = z.looseObject({ alternativeNames: z.tuple([z.string(), z.string()]) });
const isExplicit = 'isExplicit=True';

/** In the transaction that writes its resource; nothing when it is there already. */
export async function writeManagedIdentity(
  tx: Transaction,
  append: Append,
  identity: ManagedIdentity,
  { tenantUid, actor, nowMicros }: Change,
): Promise<void> {
  const { uid, clientId, name, resourceId, kind } = identity;
  await raiseAccessEpoch(tx, tenantUid);
  // The epoch's row is locked, so nobody else writes the same one meanwhile.
  if (await isKnown(tx, uid)) return;
  const explicit = kind === 'userAssigned' ? isExplicit : 'isExplicit=False';
  await insertPrincipal(
    tx,
    {
      uid,
      tenantUid,
      kind: 'managedIdentity',
      loginName: clientId,
      displayName: name,
      registryUid: undefined,
      isOwner: false,
      // As Microsoft Graph shows them.
      properties: { alternativeNames: [explicit, resourceId] },
    },
    nowMicros,
  );
  tell(append, tenantUid, actor, 'managedIdentity.created', { ...identity });
}

/** With its memberships, federated credentials and bindings; tokens that it has end with the next request. */
export async function removeManagedIdentity(
  tx: Transaction,
  append: Append,
  uid: string,
  { tenantUid, actor }: Omit<Change, 'nowMicros'>,
): Promise<void> {
  await raiseAccessEpoch(tx, tenantUid);
  if (!(await isKnown(tx, uid))) return;
  await removeLinksOf(tx, uid);
  await tx.deleteFrom('secrets').where('principal_uid', '=', uid).execute();
  await tx.deleteFrom('principals').where('uid', '=', uid).where('kind', '=', 'managedIdentity').execute();
  tell(append, tenantUid, actor, 'managedIdentity.deleted', { uid });
}

/** All of the tenant's, in the order of their uids. */
export async function listManagedIdentities(queries: Queries, tenantUid: string): Promise<ManagedIdentity[]> {
  const rows = await queries
    .selectFrom('principals')
    .where('tenant_uid', '=', tenantUid)
    .where('kind', '=', 'managedIdentity')
    .orderBy('uid')
    .select(['uid', 'login_key', 'display_name', 'properties'])
    .execute();
  return rows.map(managedIdentityOf);
}

/** Undefined for one that is gone or disabled. */
export async function findManagedIdentity(
  queries: Queries,
  tenantUid: string,
  uid: string,
): Promise<ManagedIdentity | undefined> {
  const row = await queries
    .selectFrom('principals')
    .where('uid', '=', uid)
    .where('tenant_uid', '=', tenantUid)
    .where('kind', '=', 'managedIdentity')
    .where('is_enabled', '=', 1)
    .select(['uid', 'login_key', 'display_name', 'properties'])
    .executeTakeFirst();
  return row && managedIdentityOf(row);
}

export function managedIdentityOf(row: {
  readonly uid: string;
  readonly login_key: string;
  readonly display_name: string;
  readonly properties: string;
}): ManagedIdentity {
  const [explicit, resourceId] = propertiesSchema.parse(JSON.parse(row.properties)).alternativeNames;
  const kind = explicit === isExplicit ? 'userAssigned' : 'systemAssigned';
  return { uid: row.uid, clientId: row.login_key, name: row.display_name, resourceId, kind };
}

/** How someone may name an identity: client id, object id, or the id of its resource, whatever their case. */
export function isNamed({ uid, clientId, resourceId }: ManagedIdentity, name: string): boolean {
  return [clientId, objectIdOf(uid), resourceId.toLowerCase()].includes(name.toLowerCase());
}

async function isKnown(tx: Transaction, uid: string): Promise<boolean> {
  const row = await tx.selectFrom('principals').where('uid', '=', uid).select('uid').executeTakeFirst();
  return row !== undefined;
}

function tell(
  append: Append,
  tenantUid: string,
  actor: string,
  type: string,
  data: Readonly<Record<string, string>>,
): void {
  append({ stream: tenantStreamOf(tenantUid), type, version: 1, actor, data });
}
