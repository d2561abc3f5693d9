import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import type { PasswordHasher } from '../../platform/keys/password-hasher.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { raiseAccessEpoch } from './access-epoch.ts';

/** What the parts of the tenant's directory are made of. */
export type DirectoryParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly passwords: PasswordHasher;
  readonly tenantUid: string;
};

/** One event of the directory: what happened to which object, and its new state without secrets. */
export type DirectoryEvent = { readonly type: string; readonly data: JsonObject };

/**
 * One change of the directory: what `work` does, the event it answers, and a new access epoch, as principals, their
 * credentials and groups decide who may do what. `actor` is the uid of who asked.
 */
export async function changeDirectory<T>(
  { journal, tenantUid }: DirectoryParts,
  actor: string,
  work: (tx: Transaction) => Promise<{ readonly value: T; readonly event: DirectoryEvent }>,
): Promise<T> {
  return await journal.transaction(async (tx, append) => {
    await raiseAccessEpoch(tx, tenantUid);
    const { value, event } = await work(tx);
    append({ stream: tenantStreamOf(tenantUid), type: event.type, version: 1, actor, data: event.data });
    return value;
  });
}

/** A page of a list in the order of uids. */
export type Page = { readonly after: string | undefined; readonly limit: number };
