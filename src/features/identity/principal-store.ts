import type { Queries, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Principal } from './principal.ts';

/** A principal to be written, with the names it is found by. */
export type NewPrincipal = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly kind: Exclude<Principal['kind'], 'anonymous'>;
  readonly loginName: string;
  readonly displayName: string;
  readonly registryUid: string | undefined;
  readonly isOwner: boolean;
  /** Yes unless given. */
  readonly isEnabled?: boolean;
  /** What else the directory shows of it. */
  readonly properties?: JsonObject;
};

/** Secrets that are shown at sign-in, with a hash as verifier. */
const secretNames = ['password', 'password2', 'clientSecret'] as const;
/**
 * What else proves who one is: the verifier of a certificate or of an outside issuer's tokens is JSON. `outsideLink` is whom
 * an outside provider knows, and what the mapping gave; the sessions of such a person hang on `outside`. `binding` is which
 * machines a managed identity was given to. `run` is what the tokens of a task's run hang on.
 */
export type CredentialName =
  | (typeof secretNames)[number]
  | 'certificate'
  | 'federated'
  | 'outsideLink'
  | 'outside'
  | 'binding'
  | 'run';

/** A secret to be written: rows never change, so a secret's uid stands for the secret itself. */
export type NewSecret = {
  readonly uid: string;
  readonly name: CredentialName;
  readonly verifier: string;
  readonly sealed: Uint8Array | undefined;
  /** What people call it. */
  readonly displayName?: string;
  /** Its first characters, by which people tell generated secrets apart. */
  readonly hint?: string;
  /** Microseconds; at once unless given. */
  readonly startsAtMicros?: number;
  /** Microseconds; never unless given. */
  readonly expiresAtMicros?: number;
  /** Given to the application rather than to its service principal. */
  readonly isOfApplication?: boolean;
};

/** An enabled principal with one of its secrets, and the access epoch the row was read at. */
export type Standing = {
  readonly principal: Principal;
  /** In lower case: user name, application id, or registry name. */
  readonly loginName: string;
  /** The secret's uid. */
  readonly credentialUid: string;
  /** Microseconds; undefined for a secret that does not expire. */
  readonly expiresAtMicros: number | undefined;
  readonly epoch: number;
};

export type Login = Standing & { readonly verifier: string; readonly startsAtMicros: number | undefined };

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
      is_enabled: principal.isEnabled === false ? 0 : 1,
      properties: JSON.stringify(principal.properties ?? {}),
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
      display_name: secret.displayName ?? null,
      hint: secret.hint ?? null,
      is_of_application: secret.isOfApplication === true ? 1 : 0,
      starts_at: secret.startsAtMicros ?? null,
      expires_at: secret.expiresAtMicros ?? null,
      created_at: nowMicros,
    })
    .execute();
}

type LoginPlace = {
  readonly tenantUid: string;
  /** Undefined for the tenant itself, where a registry's own principals do not count. */
  readonly registryUid: string | undefined;
  readonly userName: string;
};

/** Every secret that a user name may stand for: of the tenant's principals and, on a registry, of its own. */
export async function findLogins(queries: Queries, at: LoginPlace): Promise<Login[]> {
  return await findVerifiers(queries, at, secretNames);
}

/** Certificates or federated credentials of the service principal with this application id. */
export async function findKeys(
  queries: Queries,
  at: Omit<LoginPlace, 'registryUid'>,
  name: 'certificate' | 'federated',
): Promise<Login[]> {
  return await findVerifiers(queries, { ...at, registryUid: undefined }, [name]);
}

async function findVerifiers(queries: Queries, at: LoginPlace, names: readonly CredentialName[]): Promise<Login[]> {
  const { registryUid = null } = at;
  const rows = await enabledSecrets(queries)
    .where('p.tenant_uid', '=', at.tenantUid)
    .where('p.login_key', '=', loginKey(at.userName))
    .where((eb) => eb.or([eb('p.registry_uid', 'is', null), eb('p.registry_uid', '=', registryUid)]))
    .where('s.name', 'in', names)
    .select(['s.verifier', 's.starts_at as startsAt'])
    .execute();
  return rows.map((row) => ({
    ...standingOf(row),
    verifier: row.verifier,
    startsAtMicros: row.startsAt ?? undefined,
  }));
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
      'p.login_key as loginName',
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
  readonly loginName: string;
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
    loginName: row.loginName,
    credentialUid: row.credentialUid,
    expiresAtMicros: row.expiresAt ?? undefined,
    epoch: row.epoch,
  };
}
