import { installationSecretsSchema, readJsonIfThere, removeDurably, writeSecretJson } from './bootstrap-file.ts';
import type { DataFolder } from './data-folder.ts';
import type { AdminAccountParts } from './features/identity/admin-account.ts';
import { type OwnerCredentials, type OwnerParts, prepareOwner } from './features/identity/owner.ts';
import { writeRegistry } from './features/registries/registries.ts';
import type { Database, Transaction } from './platform/database/database.ts';
import type { Journal } from './platform/journal/journal.ts';

export const defaultRegistryName = 'local';
const region = 'home';
const ownerName = 'owner';

/** What the database says of this installation. */
export type Installation = {
  readonly tenantUid: string;
  /** GUIDs. */
  readonly tenantId: string;
  readonly subscriptionId: string;
  readonly region: string;
};

export type InstallationParts = OwnerParts &
  AdminAccountParts & { readonly database: Database; readonly journal: Journal; readonly folder: DataFolder };

/** `owner` is known to the server that made the installation, until its bootstrap.json is written. */
export type OpenedInstallation = { readonly installation: Installation; readonly owner: OwnerCredentials | undefined };

/**
 * Reads the installation, or makes it: tenant, subscription, owner, default registry, in one transaction. The owner's
 * secrets are in the data folder before the transaction commits, so that a start killed anywhere is finished by the next.
 * Of several servers that start at once on one database, one makes it.
 */
export async function openInstallation(parts: InstallationParts): Promise<OpenedInstallation> {
  const found = await readInstallation(parts.database.read);
  if (found === undefined) return await makeInstallation(parts);
  const unfinished = readJsonIfThere(parts.folder.unfinishedBootstrap, installationSecretsSchema);
  return { installation: found, owner: unfinished?.tenantId === found.tenantId ? unfinished.owner : undefined };
}

async function makeInstallation(parts: InstallationParts): Promise<OpenedInstallation> {
  const { ids, clock, folder, journal } = parts;
  const made: Installation = { tenantUid: ids.uid(), tenantId: ids.guid(), subscriptionId: ids.guid(), region };
  const owner = await prepareOwner(parts, { tenantUid: made.tenantUid, userName: ownerName });
  writeSecretJson(folder.unfinishedBootstrap, { tenantId: made.tenantId, owner: owner.credentials });
  const installation = await journal.transaction(async (tx, append) => {
    if (!(await insertInstallation(tx, made, ids.uid(), clock.nowMicros()))) return await readInstallation(tx);
    await owner.write(tx, append);
    await writeRegistry(parts, tx, append, {
      tenantUid: made.tenantUid,
      name: defaultRegistryName,
      sku: 'Premium',
      isAdminEnabled: true,
      isAnonymousPullEnabled: false,
      actor: 'installation',
    });
    return made;
  });
  if (installation === undefined) throw new Error('the database holds half an installation');
  if (installation !== made) removeDurably(folder.unfinishedBootstrap);
  return { installation, owner: installation === made ? owner.credentials : undefined };
}

/** False when another server was first. */
async function insertInstallation(
  tx: Transaction,
  made: Installation,
  uid: string,
  nowMicros: number,
): Promise<boolean> {
  const inserted = await tx
    .insertInto('installation')
    .values({
      id: 1,
      installation_uid: uid,
      tenant_uid: made.tenantUid,
      subscription_id: made.subscriptionId,
      region: made.region,
      created_at: nowMicros,
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted === undefined) return false;
  await tx
    .insertInto('tenants')
    .values({ uid: made.tenantUid, tenant_id: made.tenantId, access_epoch: 1, created_at: nowMicros })
    .execute();
  return true;
}

async function readInstallation(queries: Database['read'] | Transaction): Promise<Installation | undefined> {
  return await queries
    .selectFrom('installation as i')
    .innerJoin('tenants as t', 't.uid', 'i.tenant_uid')
    .select(['t.uid as tenantUid', 't.tenant_id as tenantId', 'i.subscription_id as subscriptionId', 'i.region'])
    .executeTakeFirst();
}
