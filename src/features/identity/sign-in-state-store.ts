import { createHash } from 'node:crypto';
import { BerthError } from '../../core/errors.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';

export type SignInStateKind = 'device' | 'userCode' | 'code' | 'session' | 'assertion' | 'outsideTicket';

export type SignInState = { readonly payload: string; readonly expiresAtMicros: number };

/** Of the kind that strangers begin: nobody waits for so many at once. */
export const maxBegun = 10_000;
const expiredAtOnce = 100;

/** Where a state is kept: what the client shows is not in the database, only its hash. */
export function stateKey(kind: SignInStateKind, shown: string): string {
  return `${kind}/${createHash('sha256').update(shown).digest('base64url')}`;
}

/** Answers false when there is a state of that key already. What has expired leaves on the way, some at a time. */
export async function insertState(
  tx: Transaction,
  key: string,
  state: SignInState,
  nowMicros: number,
): Promise<boolean> {
  await tx
    .deleteFrom('sign_in_states')
    .where('key', 'in', (eb) =>
      eb
        .selectFrom('sign_in_states')
        .where('expires_at', '<=', nowMicros)
        .orderBy('expires_at')
        .limit(expiredAtOnce)
        .select('key'),
    )
    .execute();
  const inserted = await tx
    .insertInto('sign_in_states')
    .values({ key, payload: state.payload, expires_at: state.expiresAtMicros })
    .onConflict((conflict) => conflict.column('key').doNothing())
    .returning('key')
    .executeTakeFirst();
  return inserted !== undefined;
}

/** Before a state that takes no credentials. Throws `tooManyRequests`. */
export async function requireRoom(tx: Transaction, kind: 'device', nowMicros: number): Promise<void> {
  const last = await tx
    .selectFrom('sign_in_states')
    .where('key', '>=', `${kind}/`)
    .where('key', '<', `${kind}0`)
    .where('expires_at', '>', nowMicros)
    .orderBy('key')
    .offset(maxBegun - 1)
    .limit(1)
    .select('key')
    .executeTakeFirst();
  if (last !== undefined) throw new BerthError('tooManyRequests', undefined, { retryAfterSeconds: 60 });
}

export async function findState(queries: Queries, key: string, nowMicros: number): Promise<SignInState | undefined> {
  const row = await byKey(queries, key, nowMicros).executeTakeFirst();
  return row && { payload: row.payload, expiresAtMicros: row.expires_at };
}

/** Nobody else changes or takes it before the transaction ends. */
export async function findStateForUpdate(
  kind: Database['kind'],
  tx: Transaction,
  key: string,
  nowMicros: number,
): Promise<SignInState | undefined> {
  const row = await lockedForUpdate(kind, byKey(tx, key, nowMicros)).executeTakeFirst();
  return row && { payload: row.payload, expiresAtMicros: row.expires_at };
}

export async function updateState(tx: Transaction, key: string, state: SignInState): Promise<void> {
  await tx
    .updateTable('sign_in_states')
    .set({ payload: state.payload, expires_at: state.expiresAtMicros })
    .where('key', '=', key)
    .execute();
}

/** Of several who take the same one, one gets it. */
export async function takeState(tx: Transaction, key: string, nowMicros: number): Promise<string | undefined> {
  const row = await tx
    .deleteFrom('sign_in_states')
    .where('key', '=', key)
    .where('expires_at', '>', nowMicros)
    .returning('payload')
    .executeTakeFirst();
  return row?.payload;
}

function byKey(queries: Queries, key: string, nowMicros: number) {
  return queries
    .selectFrom('sign_in_states')
    .where('key', '=', key)
    .where('expires_at', '>', nowMicros)
    .select(['payload', 'expires_at']);
}
