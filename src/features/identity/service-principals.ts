import type { Selectable } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { applicationPropertiesSchema } from './application.ts';
import { type Credential, listCredentials } from './credentials.ts';
import { changeDirectory, type DirectoryParts, type Page } from './directory-change.ts';
import { removeLinksOf } from './directory-links.ts';
import { isGuid } from './object-id.ts';
import { insertPrincipal, loginKey } from './principal-store.ts';

type Row = Selectable<Schema['principals']> & {
  /** JSON of the application's properties; null without one. */
  readonly application: string | null;
};

/** Read at once while a name is looked for. */
const slice = 500;

/** An application as it acts in the tenant, or a managed identity. */
export type ServicePrincipal = {
  readonly uid: string;
  /** GUID. */
  readonly appId: string;
  /** Identifier URIs of its application, by which it may be named too. */
  readonly identifierUris: readonly string[];
  readonly displayName: string;
  readonly isEnabled: boolean;
  /** Made by the installation, and not to be changed. */
  readonly isOwner: boolean;
  /** `managedIdentity`: changes and goes with its resource. */
  readonly kind: 'application' | 'managedIdentity';
  readonly properties: JsonObject;
  readonly createdAtMicros: number;
  readonly credentials: readonly Credential[];
};

/**
 * Service principals of the tenant. Each application has one from its beginning, disabled and out of sight until somebody
 * asks for it, so that its secrets have a principal to hang on; one that is deleted is followed by a new one with another id.
 */
export class ServicePrincipals {
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  async list({ after, limit }: Page): Promise<ServicePrincipal[]> {
    let query = this.#query(this.#parts.database.read).orderBy('p.uid').limit(limit);
    if (after !== undefined) query = query.where('p.uid', '>', after);
    return await this.#complete(await query.execute());
  }

  async find(uid: string): Promise<ServicePrincipal | undefined> {
    const [found] = await this.#complete(
      await this.#query(this.#parts.database.read).where('p.uid', '=', uid).execute(),
    );
    return found;
  }

  async findMany(uids: readonly string[]): Promise<ServicePrincipal[]> {
    if (uids.length === 0) return [];
    return await this.#complete(await this.#query(this.#parts.database.read).where('p.uid', 'in', uids).execute());
  }

  async findByAppId(appId: string): Promise<ServicePrincipal | undefined> {
    const query = this.#query(this.#parts.database.read).where('p.login_key', '=', loginKey(appId));
    const [found] = await this.#complete(await query.execute());
    return found;
  }

  /** By application id or identifier URI. */
  async findByName(name: string): Promise<ServicePrincipal | undefined> {
    if (isGuid(name)) return await this.findByAppId(name);
    for (let after: string | undefined; ; ) {
      const page = await this.list({ after, limit: slice });
      const found = page.find(({ identifierUris }) => identifierUris.includes(name));
      after = page.at(-1)?.uid;
      if (found !== undefined || page.length < slice) return found;
    }
  }

  /** Throws `directoryObjectUnknown` without an application of that id, `directoryObjectExists` when there is one already. */
  async create(appId: string, options: { readonly isEnabled: boolean; readonly actor: string }): Promise<string> {
    const { tenantUid } = this.#parts;
    return await changeDirectory(this.#parts, options.actor, async (tx) => {
      const application = await lockedForUpdate(
        this.#parts.database.kind,
        tx
          .selectFrom('applications')
          .where('app_id', '=', appId.toLowerCase())
          .where('tenant_uid', '=', tenantUid)
          .select(['uid', 'app_id', 'principal_uid', 'is_provisioned']),
      ).executeTakeFirst();
      if (application === undefined) throw new BerthError('directoryObjectUnknown', { appId });
      if (application.is_provisioned === 1) throw new BerthError('directoryObjectExists', { appId });
      await tx.updateTable('applications').set({ is_provisioned: 1 }).where('uid', '=', application.uid).execute();
      await tx
        .updateTable('principals')
        .set({ is_enabled: options.isEnabled ? 1 : 0 })
        .where('uid', '=', application.principal_uid)
        .execute();
      const uid = application.principal_uid;
      return { value: uid, event: { type: 'servicePrincipal.created', data: { uid, appId: application.app_id } } };
    });
  }

  /** Throws `directoryObjectUnknown`, `directoryObjectFixed`. */
  async update(
    uid: string,
    change: {
      readonly isEnabled: boolean | undefined;
      readonly properties: JsonObject | undefined;
      readonly actor: string;
    },
  ): Promise<void> {
    await this.change(uid, change.actor, 'servicePrincipal.updated', async (tx, { isEnabled, properties }) => {
      const enabled = change.isEnabled ?? isEnabled;
      const set = { is_enabled: enabled ? 1 : 0, properties: JSON.stringify(change.properties ?? properties) };
      await tx.updateTable('principals').set(set).where('uid', '=', uid).execute();
    });
  }

  /** Throws `directoryObjectUnknown`, `directoryObjectFixed`. */
  async remove(uid: string, actor: string): Promise<void> {
    await this.change(uid, actor, 'servicePrincipal.deleted', async (tx, found) => {
      await removeLinksOf(tx, uid);
      const application = await tx
        .selectFrom('applications')
        .where('principal_uid', '=', uid)
        .select('uid')
        .executeTakeFirst();
      await tx.deleteFrom('secrets').where('principal_uid', '=', uid).where('is_of_application', '=', 0).execute();
      if (application !== undefined) await this.#replace(tx, uid, application.uid, found);
      else await tx.deleteFrom('principals').where('uid', '=', uid).execute();
    });
  }

  /** One change to a service principal, its row locked. Throws `directoryObjectUnknown`, `directoryObjectFixed`. */
  async change<T>(
    uid: string,
    actor: string,
    type: string,
    work: (tx: Transaction, found: Omit<ServicePrincipal, 'credentials'>) => Promise<T>,
    options: { readonly isForOwnerToo?: boolean } = {},
  ): Promise<T> {
    return await changeDirectory(this.#parts, actor, async (tx) => {
      const locked = await lockedForUpdate(
        this.#parts.database.kind,
        this.#query(tx).where('p.uid', '=', uid),
        'p',
      ).executeTakeFirst();
      if (locked === undefined) throw new BerthError('directoryObjectUnknown');
      if (locked.kind === 'managedIdentity')
        throw new BerthError('directoryObjectFixed', 'a managed identity changes and goes with its resource');
      if (locked.is_owner === 1 && options.isForOwnerToo !== true) throw new BerthError('directoryObjectFixed');
      const value = await work(tx, servicePrincipalOf(locked));
      return { value, event: { type, data: { uid, appId: locked.login_key } } };
    });
  }

  /** The application's secrets go over to a principal that nobody knows yet. */
  async #replace(
    tx: Transaction,
    uid: string,
    applicationUid: string,
    found: Pick<ServicePrincipal, 'appId' | 'displayName'>,
  ) {
    const { ids, clock, tenantUid } = this.#parts;
    const next = ids.uid();
    await insertPrincipal(
      tx,
      {
        uid: next,
        tenantUid,
        kind: 'servicePrincipal',
        loginName: `replaces ${uid}`,
        displayName: found.displayName,
        registryUid: undefined,
        isOwner: false,
        isEnabled: false,
      },
      clock.nowMicros(),
    );
    await tx.updateTable('secrets').set({ principal_uid: next }).where('principal_uid', '=', uid).execute();
    await tx
      .updateTable('applications')
      .set({ principal_uid: next, is_provisioned: 0 })
      .where('uid', '=', applicationUid)
      .execute();
    await tx.deleteFrom('principals').where('uid', '=', uid).execute();
    await tx.updateTable('principals').set({ login_key: found.appId }).where('uid', '=', next).execute();
  }

  #query(queries: Queries) {
    return queries
      .selectFrom('principals as p')
      .leftJoin('applications as a', 'a.principal_uid', 'p.uid')
      .where('p.tenant_uid', '=', this.#parts.tenantUid)
      .where('p.kind', 'in', ['servicePrincipal', 'managedIdentity'])
      .where('p.registry_uid', 'is', null)
      .where((eb) => eb.or([eb('a.uid', 'is', null), eb('a.is_provisioned', '=', 1)]))
      .selectAll('p')
      .select('a.properties as application');
  }

  async #complete(rows: readonly Row[]): Promise<ServicePrincipal[]> {
    const credentials = await listCredentials(
      this.#parts.database.read,
      rows.map(({ uid }) => uid),
    );
    return rows.map((row) => ({ ...servicePrincipalOf(row), credentials: credentials.get(row.uid) ?? [] }));
  }
}

function servicePrincipalOf(row: Row): Omit<ServicePrincipal, 'credentials'> {
  return {
    uid: row.uid,
    appId: row.login_key,
    identifierUris: row.application === null ? [] : identifierUrisOf(row.application),
    displayName: row.display_name,
    isEnabled: row.is_enabled === 1,
    isOwner: row.is_owner === 1,
    kind: row.kind === 'managedIdentity' ? 'managedIdentity' : 'application',
    properties: jsonObjectSchema.parse(JSON.parse(row.properties)),
    createdAtMicros: row.created_at,
  };
}

function identifierUrisOf(properties: string): readonly string[] {
  return applicationPropertiesSchema.parse(JSON.parse(properties)).identifierUris ?? [];
}
