import type { Selectable } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { changeDirectory, type DirectoryParts, type Page } from './directory-change.ts';
import { removeLinksOf } from './directory-links.ts';

/** People, service principals and other groups under one name. */
export type Group = {
  readonly uid: string;
  readonly displayName: string;
  readonly properties: JsonObject;
  readonly createdAtMicros: number;
};

export type GroupChange = {
  readonly displayName: string | undefined;
  /** In place of those there were. */
  readonly properties: JsonObject | undefined;
  readonly actor: string;
};

export class Groups {
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  async list({ after, limit }: Page): Promise<Group[]> {
    let query = this.#query(this.#parts.database.read).orderBy('uid').limit(limit);
    if (after !== undefined) query = query.where('uid', '>', after);
    return (await query.execute()).map(groupOf);
  }

  async find(uid: string): Promise<Group | undefined> {
    const row = await this.#query(this.#parts.database.read).where('uid', '=', uid).executeTakeFirst();
    return row && groupOf(row);
  }

  async findMany(uids: readonly string[]): Promise<Group[]> {
    if (uids.length === 0) return [];
    return (await this.#query(this.#parts.database.read).where('uid', 'in', uids).execute()).map(groupOf);
  }

  /** Answers the uid. */
  async create({ displayName, properties, actor }: GroupChange & { readonly displayName: string }): Promise<string> {
    const { ids, clock, tenantUid } = this.#parts;
    const uid = ids.uid();
    const nowMicros = clock.nowMicros();
    return await changeDirectory(this.#parts, actor, async (tx) => {
      await tx
        .insertInto('user_groups')
        .values({
          uid,
          tenant_uid: tenantUid,
          display_name: displayName,
          properties: JSON.stringify(properties ?? {}),
          created_at: nowMicros,
          changed_at: nowMicros,
        })
        .execute();
      return { value: uid, event: { type: 'group.created', data: { uid, displayName } } };
    });
  }

  /** Throws `directoryObjectUnknown`. */
  async update(uid: string, { displayName, properties, actor }: GroupChange): Promise<void> {
    await this.#change(uid, actor, 'group.updated', async (tx, found) => {
      await tx
        .updateTable('user_groups')
        .set({
          display_name: displayName ?? found.displayName,
          properties: JSON.stringify(properties ?? found.properties),
          changed_at: this.#parts.clock.nowMicros(),
        })
        .where('uid', '=', uid)
        .execute();
    });
  }

  /** Throws `directoryObjectUnknown`. */
  async remove(uid: string, actor: string): Promise<void> {
    await this.#change(uid, actor, 'group.deleted', async (tx) => {
      await removeLinksOf(tx, uid);
      await tx.deleteFrom('user_groups').where('uid', '=', uid).execute();
    });
  }

  async #change(
    uid: string,
    actor: string,
    type: string,
    work: (tx: Transaction, found: Group) => Promise<void>,
  ): Promise<void> {
    await changeDirectory(this.#parts, actor, async (tx) => {
      const query = this.#query(tx).where('uid', '=', uid);
      const row = await lockedForUpdate(this.#parts.database.kind, query).executeTakeFirst();
      if (row === undefined) throw new BerthError('directoryObjectUnknown');
      await work(tx, groupOf(row));
      return { value: undefined, event: { type, data: { uid, displayName: row.display_name } } };
    });
  }

  #query(queries: Queries) {
    return queries.selectFrom('user_groups').selectAll().where('tenant_uid', '=', this.#parts.tenantUid);
  }
}

function groupOf(row: Selectable<Schema['user_groups']>): Group {
  return {
    uid: row.uid,
    displayName: row.display_name,
    properties: jsonObjectSchema.parse(JSON.parse(row.properties)),
    createdAtMicros: row.created_at,
  };
}
