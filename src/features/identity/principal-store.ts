import type { Queries, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import type { Principal } from './principal.ts';

/** A principal to be written, with the names it is found by. */
export type NewPrincipal = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly kind: 'user' | 'servicePrincipal' | 'registryAdmin';
  readonly loginName: string;
  readonly displayName: string;
  readonly registryUid: string | undefined;
  readonly isOwner: boolean;
};

/** A secret to be written: rows never change, so a secret's uid stands for the secret itself. */
export type NewSecret = {
  readonly uid: string;
  readonly name: 'password' | 'password2' | 'clientSecret';
  readonly verifier: string;
  readonly sealed: Uint8Array | undefined;
};

/** An enabled principal with one of its secrets, and the access epoch the row was read at. */
export type Standing = {
  readonly principal: Principal;
  /** The secret's uid. */
  readonly credentialUid: string;
  /** Microseconds; undefined for a secret that does not expire. */
  readonly expiresAtMicros: number | undefined;
  readonly epoch: number;
};

export type Login = Standing & { readonly verifier: string };

/** User names are compared without regard to case. */
export function loginKey(name: string): string {
  return name.toLowerCase();
}

export async function insertPrincipal(tx: Transaction, principal: NewPrincipal, nowMicros: number): Promise<void> {
  await tx
    .insertInto('principals')
    .values({
      uid: principal.uid,
      tenant_uid: principal.tenantUid,
      kind: principal.kind,
      login_key: loginKey(principal.loginName),
      registry_uid: principal.registryUid ?? null,
      display_name: principal.displayName,
      is_owner: principal.isOwner ? 1 : 0,
      is_enabled: 1,
      created_at: nowMicros,
    })
    .execute();
}

export async function insertSecret(
  tx: Transaction,
  principalUid: string,
  secret: NewSecret,
  nowMicros: number,
): Promise<void> {
  await tx
    .insertInto('secrets')
    .values({
      uid: secret.uid,
      principal_uid: principalUid,
      name: secret.name,
      verifier: secret.verifier,
      sealed: secret.sealed ?? null,
      expires_at: null,
      created_at: nowMicros,
    })
    .execute();
}

/** Every secret that a user name may stand for on a registry: of the registry's own principals and of the tenant's. */
export async function findLogins(
  queries: Queries,
  at: { readonly tenantUid: string; readonly registryUid: string; readonly userName: string },
): Promise<Login[]> {
  const rows = await enabledSecrets(queries)
    .where('p.tenant_uid', '=', at.tenantUid)
    .where('p.login_key', '=', loginKey(at.userName))
    .where((eb) => eb.or([eb('p.registry_uid', 'is', null), eb('p.registry_uid', '=', at.registryUid)]))
    .select('s.verifier')
    .execute();
  return rows.map((row) => ({ ...standingOf(row), verifier: row.verifier }));
}

/** What remains of credentials checked before: undefined when the principal or that secret of it is gone or disabled. */
export type FindStanding = (principalUid: string, credentialUid: string) => Promise<Standing | undefined>;

export function createFindStanding(queries: Queries): FindStanding {
  const query = hotQuery(queries, ['principal', 'secret'], (on, parameter) =>
    enabledSecrets(on).where('p.uid', '=', parameter('principal')).where('s.uid', '=', parameter('secret')),
  );
  return async (principal, secret) => {
    const row = await query(queries, { principal, secret });
    return row === undefined ? undefined : standingOf(row);
  };
}

/** The admin account of a registry counts as disabled while the registry's switch is off. */
function enabledSecrets(queries: Queries) {
  return queries
    .selectFrom('principals as p')
    .innerJoin('tenants as t', 't.uid', 'p.tenant_uid')
    .innerJoin('secrets as s', 's.principal_uid', 'p.uid')
    .leftJoin('registries as r', 'r.uid', 'p.registry_uid')
    .where('p.is_enabled', '=', 1)
    .where((eb) => eb.or([eb('p.kind', '!=', 'registryAdmin'), eb('r.is_admin_enabled', '=', 1)]))
    .select([
      'p.uid as principalUid',
      'p.kind',
      'p.display_name as displayName',
      'p.is_owner as isOwner',
      'p.registry_uid as registryUid',
      's.uid as credentialUid',
      's.expires_at as expiresAt',
      't.access_epoch as epoch',
    ]);
}

type StandingRow = {
  readonly principalUid: string;
  readonly kind: NewPrincipal['kind'];
  readonly displayName: string;
  readonly isOwner: number;
  readonly registryUid: string | null;
  readonly credentialUid: string;
  readonly expiresAt: number | null;
  readonly epoch: number;
};

function standingOf(row: StandingRow): Standing {
  return {
    principal: {
      kind: row.kind,
      uid: row.principalUid,
      name: row.displayName,
      isOwner: row.isOwner === 1,
      registryUid: row.registryUid ?? undefined,
    },
    credentialUid: row.credentialUid,
    expiresAtMicros: row.expiresAt ?? undefined,
    epoch: row.epoch,
  };
}
