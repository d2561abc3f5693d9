import type { Selectable } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { type Credential, type KeyRequest, listCredentials, replaceCertificates } from './credentials.ts';
import { changeDirectory, type DirectoryParts, type Page } from './directory-change.ts';
import { removeLinksOf } from './directory-links.ts';
import { insertPrincipal } from './principal-store.ts';

/** A program that is known to the tenant. */
export type Application = {
  readonly uid: string;
  /** GUID. */
  readonly appId: string;
  readonly principalUid: string;
  readonly displayName: string;
  readonly properties: JsonObject;
  readonly createdAtMicros: number;
  readonly credentials: readonly Credential[];
};

export type ApplicationChange = {
  readonly displayName: string | undefined;
  /** In place of those there were. */
  readonly properties: JsonObject | undefined;
  readonly keys: readonly KeyRequest[] | undefined;
  readonly actor: string;
};

export class Applications {
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  async list({ after, limit }: Page): Promise<Application[]> {
    let query = this.#query(this.#parts.database.read).orderBy('uid').limit(limit);
    if (after !== undefined) query = query.where('uid', '>', after);
    return await this.#complete(await query.execute());
  }

  async find(uid: string): Promise<Application | undefined> {
    const [found] = await this.#complete(await this.#query(this.#parts.database.read).where('uid', '=', uid).execute());
    return found;
  }

  async findMany(uids: readonly string[]): Promise<Application[]> {
    if (uids.length === 0) return [];
    return await this.#complete(await this.#query(this.#parts.database.read).where('uid', 'in', uids).execute());
  }

  async findByAppId(appId: string): Promise<Application | undefined> {
    const query = this.#query(this.#parts.database.read).where('app_id', '=', appId.toLowerCase());
    const [found] = await this.#complete(await query.execute());
    return found;
  }

  /** Answers the uid. */
  async create(asked: ApplicationChange & { readonly displayName: string }): Promise<string> {
    const { ids, clock, tenantUid } = this.#parts;
    const [uid, principalUid, appId] = [ids.uid(), ids.uid(), ids.guid()];
    const nowMicros = clock.nowMicros();
    const { displayName } = asked;
    return await changeDirectory(this.#parts, asked.actor, async (tx) => {
      const common = { tenantUid, loginName: appId, displayName, registryUid: undefined, isOwner: false };
      await insertPrincipal(
        tx,
        { ...common, uid: principalUid, kind: 'servicePrincipal', isEnabled: false },
        nowMicros,
      );
      await tx
        .insertInto('applications')
        .values({
          uid,
          tenant_uid: tenantUid,
          app_id: appId,
          principal_uid: principalUid,
          is_provisioned: 0,
          display_name: displayName,
          properties: JSON.stringify(asked.properties ?? {}),
          created_at: nowMicros,
          changed_at: nowMicros,
        })
        .execute();
      if (asked.keys !== undefined)
        await replaceCertificates(this.#parts, tx, { principalUid, isOfApplication: true }, asked.keys);
      return { value: uid, event: { type: 'application.created', data: { uid, appId, displayName } } };
    });
  }

  /** Throws `directoryObjectUnknown`. */
  async update(uid: string, asked: ApplicationChange): Promise<void> {
    await this.change(uid, asked.actor, 'application.updated', async (tx, found) => {
      const displayName = asked.displayName ?? found.displayName;
      await tx
        .updateTable('applications')
        .set({
          display_name: displayName,
          properties: JSON.stringify(asked.properties ?? found.properties),
          changed_at: this.#parts.clock.nowMicros(),
        })
        .where('uid', '=', uid)
        .execute();
      await tx
        .updateTable('principals')
        .set({ display_name: displayName })
        .where('uid', '=', found.principalUid)
        .execute();
      const holder = { principalUid: found.principalUid, isOfApplication: true };
      if (asked.keys !== undefined) await replaceCertificates(this.#parts, tx, holder, asked.keys);
    });
  }

  /** With its service principal and all credentials. Throws `directoryObjectUnknown`. */
  async remove(uid: string, actor: string): Promise<void> {
    await this.change(uid, actor, 'application.deleted', async (tx, { principalUid }) => {
      await removeLinksOf(tx, uid);
      await removeLinksOf(tx, principalUid);
      await tx.deleteFrom('applications').where('uid', '=', uid).execute();
      await tx.deleteFrom('secrets').where('principal_uid', '=', principalUid).execute();
      await tx.deleteFrom('principals').where('uid', '=', principalUid).execute();
    });
  }

  /** One change to an application, its row locked. Throws `directoryObjectUnknown`. */
  async change<T>(
    uid: string,
    actor: string,
    type: string,
    work: (tx: Transaction, found: Omit<Application, 'credentials'>) => Promise<T>,
  ): Promise<T> {
    return await changeDirectory(this.#parts, actor, async (tx) => {
      const query = this.#query(tx).where('uid', '=', uid);
      const locked = await lockedForUpdate(this.#parts.database.kind, query).executeTakeFirst();
      if (locked === undefined) throw new BerthError('directoryObjectUnknown');
      const value = await work(tx, applicationOf(locked));
      return { value, event: { type, data: { uid, appId: locked.app_id } } };
    });
  }

  #query(queries: Queries) {
    return queries.selectFrom('applications').selectAll().where('tenant_uid', '=', this.#parts.tenantUid);
  }

  async #complete(rows: readonly Selectable<Schema['applications']>[]): Promise<Application[]> {
    const credentials = await listCredentials(
      this.#parts.database.read,
      rows.map((row) => row.principal_uid),
    );
    return rows.map((row) => ({ ...applicationOf(row), credentials: credentials.get(row.principal_uid) ?? [] }));
  }
}

function applicationOf(row: Selectable<Schema['applications']>): Omit<Application, 'credentials'> {
  return {
    uid: row.uid,
    appId: row.app_id,
    principalUid: row.principal_uid,
    displayName: row.display_name,
    properties: jsonObjectSchema.parse(JSON.parse(row.properties)),
    createdAtMicros: row.created_at,
  };
}
