import type { Selectable } from 'kysely';
import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { changeDirectory, type DirectoryParts, type Page } from './directory-change.ts';
import { removeLinksOf } from './directory-links.ts';
import { isGuid } from './object-id.ts';
import { insertPrincipal, insertSecret, loginKey } from './principal-store.ts';

/** A person. */
export type User = {
  readonly uid: string;
  /** What they type at sign-in, as it was first written. */
  readonly userPrincipalName: string;
  readonly displayName: string;
  readonly isEnabled: boolean;
  readonly isOwner: boolean;
  readonly properties: JsonObject;
  readonly createdAtMicros: number;
};

export type NewUser = {
  readonly userPrincipalName: string;
  readonly displayName: string;
  readonly isEnabled: boolean;
  readonly password: string;
  readonly properties: JsonObject;
  readonly actor: string;
};

export type UserChange = {
  readonly displayName: string | undefined;
  readonly isEnabled: boolean | undefined;
  readonly password: string | undefined;
  /** In place of those there were. */
  readonly properties: JsonObject | undefined;
  readonly actor: string;
};

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}(@[A-Za-z0-9][A-Za-z0-9.-]{0,252})?$/;
const minPasswordLength = 8;
const maxPasswordLength = 256;
const namedSchema = z.looseObject({ userPrincipalName: z.string().exactOptional() });

export class Users {
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  async list({ after, limit }: Page): Promise<User[]> {
    let query = this.#query(this.#parts.database.read).orderBy('uid').limit(limit);
    if (after !== undefined) query = query.where('uid', '>', after);
    return (await query.execute()).map(userOf);
  }

  async find(uid: string): Promise<User | undefined> {
    const row = await this.#query(this.#parts.database.read).where('uid', '=', uid).executeTakeFirst();
    return row && userOf(row);
  }

  async findMany(uids: readonly string[]): Promise<User[]> {
    if (uids.length === 0) return [];
    return (await this.#query(this.#parts.database.read).where('uid', 'in', uids).execute()).map(userOf);
  }

  async findByName(userPrincipalName: string): Promise<User | undefined> {
    const query = this.#query(this.#parts.database.read).where('login_key', '=', loginKey(userPrincipalName));
    const row = await query.executeTakeFirst();
    return row && userOf(row);
  }

  /** Answers the uid. Throws `directoryObjectInvalid` and `directoryObjectExists`. */
  async create(asked: NewUser): Promise<string> {
    const { ids, clock, tenantUid, passwords } = this.#parts;
    const { userPrincipalName, displayName, isEnabled } = asked;
    if (!isUserName(userPrincipalName))
      throw new BerthError(
        'directoryObjectInvalid',
        'userPrincipalName: a name of letters, digits and . _ + - is needed',
      );
    checkPassword(asked.password);
    const verifier = await passwords.hash(asked.password);
    const uid = ids.uid();
    const nowMicros = clock.nowMicros();
    return await changeDirectory(this.#parts, asked.actor, async (tx) => {
      // The new access epoch has locked the tenant's row, so nobody else makes one of this name meanwhile.
      if ((await this.#query(tx).where('login_key', '=', loginKey(userPrincipalName)).executeTakeFirst()) !== undefined)
        throw new BerthError('directoryObjectExists', { userPrincipalName });
      const common = { tenantUid, loginName: userPrincipalName, displayName, registryUid: undefined, isOwner: false };
      const properties = { ...asked.properties, userPrincipalName };
      await insertPrincipal(tx, { ...common, uid, kind: 'user', isEnabled, properties }, nowMicros);
      await insertSecret(tx, uid, { uid: ids.uid(), name: 'password', verifier, sealed: undefined }, nowMicros);
      return { value: uid, event: { type: 'user.created', data: { uid, userPrincipalName, displayName, isEnabled } } };
    });
  }

  /** A new password ends every session. Throws `directoryObjectUnknown`, `directoryObjectFixed`, `directoryObjectInvalid`. */
  async update(uid: string, asked: UserChange): Promise<void> {
    const { ids, clock, passwords } = this.#parts;
    if (asked.password !== undefined) checkPassword(asked.password);
    const verifier = asked.password === undefined ? undefined : await passwords.hash(asked.password);
    await this.#change(uid, asked.actor, 'user.updated', async (tx, found) => {
      const { userPrincipalName } = found;
      await tx
        .updateTable('principals')
        .set({
          display_name: asked.displayName ?? found.displayName,
          is_enabled: (asked.isEnabled ?? found.isEnabled) ? 1 : 0,
          properties: JSON.stringify({ ...(asked.properties ?? found.properties), userPrincipalName }),
        })
        .where('uid', '=', uid)
        .execute();
      if (verifier === undefined) return;
      await tx.deleteFrom('secrets').where('principal_uid', '=', uid).where('name', '!=', 'outsideLink').execute();
      const secret = { uid: ids.uid(), name: 'password', verifier, sealed: undefined } as const;
      await insertSecret(tx, uid, secret, clock.nowMicros());
    });
  }

  /** Throws `directoryObjectUnknown`, `directoryObjectFixed`. */
  async remove(uid: string, actor: string): Promise<void> {
    await this.#change(uid, actor, 'user.deleted', async (tx) => {
      await removeLinksOf(tx, uid);
      await tx.deleteFrom('secrets').where('principal_uid', '=', uid).execute();
      await tx.deleteFrom('principals').where('uid', '=', uid).execute();
    });
  }

  async #change(
    uid: string,
    actor: string,
    type: string,
    work: (tx: Transaction, found: User) => Promise<void>,
  ): Promise<void> {
    await changeDirectory(this.#parts, actor, async (tx) => {
      const query = this.#query(tx).where('uid', '=', uid);
      const row = await lockedForUpdate(this.#parts.database.kind, query).executeTakeFirst();
      if (row === undefined) throw new BerthError('directoryObjectUnknown');
      if (row.is_owner === 1 && !(await isOutside(tx, uid))) throw new BerthError('directoryObjectFixed');
      const user = userOf(row);
      await work(tx, user);
      return { value: undefined, event: { type, data: { uid, userPrincipalName: user.userPrincipalName } } };
    });
  }

  #query(queries: Queries) {
    return queries
      .selectFrom('principals')
      .selectAll()
      .where('tenant_uid', '=', this.#parts.tenantUid)
      .where('kind', '=', 'user')
      .where('registry_uid', 'is', null);
  }
}

/** Whether people may be called that. */
export function isUserName(text: string): boolean {
  return namePattern.test(text) && !isGuid(text);
}

/** Owners by the mapping of an outside provider can be disabled and removed, as nothing here made them owners. */
async function isOutside(tx: Transaction, uid: string): Promise<boolean> {
  const link = await tx
    .selectFrom('secrets')
    .where('principal_uid', '=', uid)
    .where('name', '=', 'outsideLink')
    .select('uid')
    .executeTakeFirst();
  return link !== undefined;
}

function checkPassword(password: string): void {
  if (password.length < minPasswordLength || password.length > maxPasswordLength)
    throw new BerthError(
      'directoryObjectInvalid',
      `passwordProfile: a password has ${minPasswordLength} to ${maxPasswordLength} characters`,
    );
}

function userOf(row: Selectable<Schema['principals']>): User {
  const properties = jsonObjectSchema.parse(JSON.parse(row.properties));
  return {
    uid: row.uid,
    userPrincipalName: namedSchema.parse(properties).userPrincipalName ?? row.login_key,
    displayName: row.display_name,
    isEnabled: row.is_enabled === 1,
    isOwner: row.is_owner === 1,
    properties,
    createdAtMicros: row.created_at,
  };
}
