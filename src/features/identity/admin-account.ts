import { BerthError } from '../../core/errors.ts';
import type { RegistryName } from '../../core/registry-name.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { hashSecret } from '../../platform/keys/secret-hash.ts';
import { raiseAccessEpoch } from './access-epoch.ts';
import { newSecret } from './new-secret.ts';
import { insertPrincipal, insertSecret, type NewSecret } from './principal-store.ts';

/** Two, so that one can be replaced while the other is in use. Source: ACR semantics, "Admin user". */
export const adminPasswordNames = ['password', 'password2'] as const;
export type AdminPasswordName = (typeof adminPasswordNames)[number];

export type AdminCredentials = {
  /** The registry's name. */
  readonly userName: string;
  readonly passwords: readonly { readonly name: AdminPasswordName; readonly value: string }[];
};

export type AdminAccountParts = {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
};

/** Writes the account of a new registry with two generated passwords; whether it works is the registry's switch. */
export async function writeAdminAccount(
  parts: AdminAccountParts,
  tx: Transaction,
  registry: { readonly uid: string; readonly tenantUid: string; readonly name: RegistryName },
): Promise<void> {
  const nowMicros = parts.clock.nowMicros();
  const uid = parts.ids.uid();
  await insertPrincipal(
    tx,
    {
      uid,
      tenantUid: registry.tenantUid,
      kind: 'registryAdmin',
      loginName: registry.name,
      displayName: registry.name,
      registryUid: registry.uid,
      isOwner: false,
    },
    nowMicros,
  );
  for (const name of adminPasswordNames) await insertSecret(tx, uid, newPassword(parts, name), nowMicros);
}

/** Both passwords in plain text. Throws `registryUnknown`. */
export async function showAdminCredentials(
  { sealer }: Pick<AdminAccountParts, 'sealer'>,
  queries: Queries,
  registryUid: string,
): Promise<AdminCredentials> {
  const rows = await queries
    .selectFrom('principals as p')
    .innerJoin('secrets as s', 's.principal_uid', 'p.uid')
    .where('p.registry_uid', '=', registryUid)
    .where('p.kind', '=', 'registryAdmin')
    .select(['p.display_name as userName', 's.uid', 's.name', 's.sealed'])
    .execute();
  const [first] = rows;
  if (first === undefined) throw new BerthError('registryUnknown');
  const passwords = adminPasswordNames.flatMap((name) =>
    rows.flatMap(({ uid, name: stored, sealed }) =>
      stored === name && sealed !== null ? [{ name, value: sealer.openText(sealPurpose(uid), sealed) }] : [],
    ),
  );
  return { userName: first.userName, passwords };
}

export type Regeneration = {
  readonly tenantUid: string;
  readonly registryUid: string;
  readonly name: AdminPasswordName;
  /** Uid of who asked. */
  readonly actor: string;
};

/**
 * Replaces one password; what was signed in with the old one, tokens included, ends with its next request.
 * Throws `registryUnknown`.
 */
export async function regenerateAdminPassword(
  parts: AdminAccountParts,
  journal: Journal,
  { tenantUid, registryUid, name, actor }: Regeneration,
): Promise<void> {
  const secret = newPassword(parts, name);
  await journal.transaction(async (tx, append) => {
    const account = await tx
      .selectFrom('principals')
      .where('registry_uid', '=', registryUid)
      .where('tenant_uid', '=', tenantUid)
      .where('kind', '=', 'registryAdmin')
      .select('uid')
      .executeTakeFirst();
    if (account === undefined) throw new BerthError('registryUnknown');
    await raiseAccessEpoch(tx, tenantUid);
    await tx.deleteFrom('secrets').where('principal_uid', '=', account.uid).where('name', '=', name).execute();
    await insertSecret(tx, account.uid, secret, parts.clock.nowMicros());
    append({
      stream: tenantStreamOf(tenantUid),
      type: 'adminPassword.regenerated',
      version: 1,
      actor,
      data: { registryUid, principalUid: account.uid, name, credentialUid: secret.uid },
    });
  });
}

function newPassword({ ids, sealer }: AdminAccountParts, name: AdminPasswordName): NewSecret {
  const value = newSecret(ids);
  const uid = ids.uid();
  return { uid, name, verifier: hashSecret(value), sealed: sealer.sealText(sealPurpose(uid), value) };
}

function sealPurpose(secretUid: string): string {
  return `secret/${secretUid}`;
}
