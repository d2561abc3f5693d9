import type { Clock } from '../../platform/clock.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { type Append, tenantStreamOf } from '../../platform/journal/journal.ts';
import type { PasswordHasher } from '../../platform/keys/password-hasher.ts';
import { hashSecret } from '../../platform/keys/secret-hash.ts';
import { newSecret } from './new-secret.ts';
import { insertPrincipal, insertSecret, type NewPrincipal, type NewSecret } from './principal-store.ts';

export type OwnerParts = { readonly clock: Clock; readonly ids: Ids; readonly passwords: PasswordHasher };

/** The owner's credentials in plain text, for `bootstrap.json`: they exist nowhere else. */
export type OwnerCredentials = {
  /** GUID. */
  readonly clientId: string;
  readonly clientSecret: string;
  readonly userName: string;
  readonly password: string;
};

/** An owner made but not yet written: `write` goes into the transaction of the first start. */
export type PreparedOwner = {
  readonly credentials: OwnerCredentials;
  readonly write: (tx: Transaction, append: Append) => Promise<void>;
};

/** Makes the two owners of an installation, a service principal and a user, with generated secrets. */
export async function prepareOwner(
  parts: OwnerParts,
  owner: { readonly tenantUid: string; readonly userName: string },
): Promise<PreparedOwner> {
  const { ids } = parts;
  const credentials = {
    clientId: ids.guid(),
    clientSecret: newSecret(ids),
    userName: owner.userName,
    password: newSecret(ids),
  };
  const common = { tenantUid: owner.tenantUid, registryUid: undefined, isOwner: true, displayName: owner.userName };
  const principals: readonly NewOwnerPrincipal[] = [
    {
      principal: { ...common, uid: ids.uid(), kind: 'servicePrincipal', loginName: credentials.clientId },
      secret: secretRow(ids, 'clientSecret', hashSecret(credentials.clientSecret)),
    },
    {
      principal: { ...common, uid: ids.uid(), kind: 'user', loginName: credentials.userName },
      secret: secretRow(ids, 'password', await parts.passwords.hash(credentials.password)),
    },
  ];
  return {
    credentials,
    write: async (tx, append) => {
      for (const each of principals) await writePrincipal(tx, append, each, parts.clock.nowMicros());
    },
  };
}

type NewOwnerPrincipal = { readonly principal: NewPrincipal; readonly secret: NewSecret };

function secretRow(ids: Ids, name: NewSecret['name'], verifier: string): NewSecret {
  return { uid: ids.uid(), name, verifier, sealed: undefined };
}

async function writePrincipal(
  tx: Transaction,
  append: Append,
  { principal, secret }: NewOwnerPrincipal,
  nowMicros: number,
): Promise<void> {
  await insertPrincipal(tx, principal, nowMicros);
  await insertSecret(tx, principal.uid, secret, nowMicros);
  append({
    stream: tenantStreamOf(principal.tenantUid),
    type: 'principal.created',
    version: 1,
    actor: 'installation',
    data: {
      uid: principal.uid,
      kind: principal.kind,
      loginName: principal.loginName,
      displayName: principal.displayName,
      isOwner: principal.isOwner,
    },
  });
}
