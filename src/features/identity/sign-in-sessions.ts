import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { newSecret } from './new-secret.ts';
import { createFindStanding, type FindStanding } from './principal-store.ts';
import { findState, insertState, stateKey, updateState } from './sign-in-state-store.ts';
import type { SignedIn } from './tenant-tokens.ts';

const dayMicros = 24 * 60 * 60 * 1_000_000;
/** A session that nobody uses ends after this. Source: lifetime of Microsoft Entra's refresh tokens. */
const idleMicros = 90 * dayMicros;

/** Who signed in, as states under way keep it. */
export const signedInSchema = z.object({
  principalUid: z.string(),
  credentialUid: z.string(),
  clientId: z.string(),
  /** When a session of it ends for good, in microseconds; absent for one that lasts as long as it is used. */
  endsAt: z.int().exactOptional(),
  /** How the client showed who it is; absent when it did not. */
  proof: z.enum(['secret', 'key']).exactOptional(),
});
export type KeptSignIn = z.infer<typeof signedInSchema>;

export function keepSignIn({ principal, credentialUid, clientId, proof }: SignedIn): KeptSignIn {
  return { principalUid: principal.uid, credentialUid, clientId, ...(proof === 'none' ? {} : { proof }) };
}

/** Undefined when principal or credential are gone or disabled since, or the credential has expired. */
export async function resumeSignIn(
  { findStanding, clock }: { readonly findStanding: FindStanding; readonly clock: Clock },
  kept: KeptSignIn,
): Promise<SignedIn | undefined> {
  const standing = await findStanding(kept.principalUid, kept.credentialUid);
  if (standing === undefined || (standing.expiresAtMicros ?? Number.POSITIVE_INFINITY) <= clock.nowMicros())
    return undefined;
  const { principal, loginName, credentialUid } = standing;
  return { principal, loginName, credentialUid, clientId: kept.clientId, proof: kept.proof ?? 'none' };
}

export type SignInSessionsParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Of sessions of accounts of an outside provider, from the sign-in on. */
  readonly outsideLifetimeMs: number;
};

/**
 * Sign-ins of people that outlive their access tokens. A refresh token is 256 random bits, kept as a hash, and stays good
 * while it is used: several processes of one client share it. It ends with the credential it was bought with.
 * One that a client bought with a proof is for callers to refuse without one: `proof` of who resumes it. One of an account
 * of an outside provider ends some time after the sign-in, however it is used: what the provider says is asked anew then.
 */
export class SignInSessions {
  readonly #parts: SignInSessionsParts;
  readonly #findStanding: FindStanding;

  constructor(parts: SignInSessionsParts) {
    this.#parts = parts;
    this.#findStanding = createFindStanding(parts.database.read);
  }

  /** Answers the refresh token. */
  async open(who: SignedIn): Promise<string> {
    const { database, clock, ids, outsideLifetimeMs } = this.#parts;
    const token = newSecret(ids);
    const nowMicros = clock.nowMicros();
    const isOutside = await isOfOutside(database.read, who.credentialUid);
    const kept = { ...keepSignIn(who), ...(isOutside ? { endsAt: nowMicros + outsideLifetimeMs * 1_000 } : {}) };
    const state = { payload: JSON.stringify(kept), expiresAtMicros: idleEnd(kept, nowMicros) };
    await database.transaction((tx) => insertState(tx, stateKey('session', token), state, nowMicros));
    return token;
  }

  /** Undefined for a token that is wrong, was given to another client, or stands for nobody any more. */
  async resume(token: string, clientId: string): Promise<SignedIn | undefined> {
    const { database, clock } = this.#parts;
    const key = stateKey('session', token);
    const nowMicros = clock.nowMicros();
    const state = await findState(database.read, key, nowMicros);
    const kept = state && signedInSchema.parse(JSON.parse(state.payload));
    if (state === undefined || kept?.clientId !== clientId) return undefined;
    const who = await resumeSignIn({ findStanding: this.#findStanding, clock }, kept);
    if (who === undefined) return undefined;
    const expiresAtMicros = idleEnd(kept, nowMicros);
    // Written once a day at most: a session is used every hour.
    if (state.expiresAtMicros < expiresAtMicros - dayMicros)
      await database.transaction((tx) => updateState(tx, key, { ...state, expiresAtMicros }));
    return who;
  }
}

/** When a session used now ends, if nobody uses it again. */
function idleEnd({ endsAt = Number.POSITIVE_INFINITY }: KeptSignIn, nowMicros: number): number {
  return Math.min(nowMicros + idleMicros, endsAt);
}

async function isOfOutside(queries: Queries, credentialUid: string): Promise<boolean> {
  const row = await queries.selectFrom('secrets').where('uid', '=', credentialUid).select('name').executeTakeFirst();
  return row?.name === 'outside';
}
